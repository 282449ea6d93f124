import type { Clock } from "../shared/clock.ts";
import { UnderpassError } from "../shared/errors.ts";
import type { Kind } from "../shared/kind.ts";
import type { PortKeeper } from "./admission.ts";
import type { Names } from "./names.ts";
import type { Random } from "./random-name.ts";
import type { Tunnels } from "./tunnels.ts";

/** Ports that may be given away, both ends included. */
export interface PortRange {
  readonly low: number;
  readonly high: number;
}

/** A public port that is open. */
export interface BoundPort {
  close(): void;
}

export interface EndpointsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly names: Names;
  readonly tunnels: Tunnels;
  /** What the relay was started with; absent: none of that kind. */
  readonly ranges: { readonly tcp?: PortRange | undefined; readonly udp?: PortRange | undefined };
  /** Opens the port for the tunnel's visitors. Rejects with `port-in-use`. */
  readonly bind: (kind: "tcp" | "udp", port: number, name: string) => Promise<BoundPort>;
}

interface Endpoint {
  readonly kind: Kind;
  readonly port: number;
  readonly bound: BoundPort;
  readonly openedMs: number;
}

const endpointLimits = {
  /** A port that another program has is passed over; so many are tried before the range counts as full. */
  maxTries: 128,
  /** Between the reservation and the agent's first link. */
  awaitAgentMs: 60_000,
  /** Ports without agent are looked for this often. */
  sweepMs: 5_000,
} as const;

/**
 * The public ports of tcp and udp tunnels. A port is the name's as long as the name is its owner's (the store keeps
 * both); it is open while an agent is here or expected, so that visitors may wait for one.
 */
export class Endpoints implements PortKeeper {
  readonly #deps: EndpointsDeps;
  readonly #open = new Map<string, Endpoint>();
  /** One at a time for each name. */
  readonly #opening = new Map<string, Promise<number>>();
  #cancelSweep: (() => void) | undefined;
  #closed = false;

  constructor(deps: EndpointsDeps) {
    this.#deps = deps;
  }

  async open(name: string, owner: string, kind: Kind): Promise<void> {
    await this.reserve(name, owner, kind, undefined);
  }

  /**
   * Gives the name, which is the owner's, a public port, and opens it: `asked`, or the one that it has, or a random
   * one. Rejects with `port-taken`, `port-forbidden` or `kind-unavailable`.
   */
  async reserve(name: string, owner: string, kind: Kind, asked: number | undefined): Promise<number> {
    for (let before = this.#opening.get(name); before !== undefined; before = this.#opening.get(name))
      await before.catch(() => {});
    const opening = this.#reserve(name, owner, kind, asked);
    this.#opening.set(name, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(name);
    }
  }

  /** At the start: opens the ports of agents that an earlier process had, so that their visitors may wait for them. */
  async inherit(): Promise<void> {
    for (const { name, owner, kind } of this.#deps.names.awaitedPorts()) {
      try {
        await this.open(name, owner, kind);
      } catch (error) {
        // Somebody has it by now, or the range is another: the agent will be told.
        if (!(error instanceof UnderpassError)) throw error;
      }
    }
  }

  /** The name under which this owner has the port already: whoever asks for the port means that tunnel. */
  nameAt(kind: Kind, port: number, owner: string): string | undefined {
    const { names, clock } = this.#deps;
    const holder = names.portHolder(kind, port, owner, clock.now());
    if (holder === false) throw new UnderpassError("port-taken");
    return holder;
  }

  /** Closes all; sockets that are open stay. */
  close(): void {
    this.#closed = true;
    this.#cancelSweep?.();
    for (const { bound } of this.#open.values()) bound.close();
    this.#open.clear();
  }

  async #reserve(name: string, owner: string, kind: Kind, asked: number | undefined): Promise<number> {
    const { names, clock, ranges } = this.#deps;
    const range = kind === "tcp" ? ranges.tcp : kind === "udp" ? ranges.udp : undefined;
    if (range === undefined || (kind !== "tcp" && kind !== "udp"))
      throw new UnderpassError("kind-unavailable");
    if (asked !== undefined && (asked < range.low || asked > range.high))
      throw new UnderpassError("port-forbidden", `The relay gives away ports ${range.low} to ${range.high}.`);
    const kept = names.portOf(name, kind);
    const wanted =
      asked ?? (kept !== undefined && kept >= range.low && kept <= range.high ? kept : undefined);
    const open = this.#open.get(name);
    if (open !== undefined) {
      if (open.kind === kind && open.port === wanted) return open.port;
      this.#shut(name);
    }
    if (wanted !== undefined) {
      if (await this.#take(name, kind, wanted)) return wanted;
      if (asked !== undefined) throw new UnderpassError("port-taken");
    }
    const size = range.high - range.low + 1;
    const first = this.#draw(size);
    let tries = 0;
    for (let step = 0; step < size && tries < endpointLimits.maxTries; step++) {
      const port = range.low + ((first + step) % size);
      if (names.portHolder(kind, port, owner, clock.now()) !== undefined) continue;
      tries++;
      if (await this.#take(name, kind, port)) return port;
    }
    throw new UnderpassError("port-taken", "All public ports that the relay may give away are in use.");
  }

  async #take(name: string, kind: "tcp" | "udp", port: number): Promise<boolean> {
    const { names, clock, bind } = this.#deps;
    if (!names.givePort(name, kind, port, clock.now())) return false;
    // Of a name that has lost it: its own agent has gone.
    for (const [other, endpoint] of this.#open)
      if (endpoint.kind === kind && endpoint.port === port) this.#shut(other);
    let bound: BoundPort;
    try {
      bound = await bind(kind, port, name);
    } catch (error) {
      if (!(error instanceof UnderpassError)) throw error;
      names.dropPort(name, port);
      return false;
    }
    if (this.#closed) {
      bound.close();
      throw new UnderpassError("going-away");
    }
    this.#open.set(name, { kind, port, bound, openedMs: clock.now() });
    if (this.#cancelSweep === undefined) this.#sweepLater();
    return true;
  }

  #shut(name: string): void {
    this.#open.get(name)?.bound.close();
    this.#open.delete(name);
  }

  #sweepLater(): void {
    const { clock, tunnels } = this.#deps;
    this.#cancelSweep = clock.at(clock.now() + endpointLimits.sweepMs, () => {
      this.#cancelSweep = undefined;
      const nowMs = clock.now();
      for (const [name, { kind, openedMs }] of this.#open) {
        const isNew = nowMs - openedMs < endpointLimits.awaitAgentMs;
        if (!isNew && tunnels.find(name)?.serves(kind) !== true && !tunnels.expects(name, kind, nowMs))
          this.#shut(name);
      }
      if (this.#open.size > 0) this.#sweepLater();
    });
  }

  #draw(size: number): number {
    const bytes = this.#deps.random(new Uint8Array(4));
    return new DataView(bytes.buffer).getUint32(0) % size;
  }
}
