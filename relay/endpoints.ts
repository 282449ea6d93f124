import type { Clock } from "../shared/clock.ts";
import { UnderpassError } from "../shared/errors.ts";
import type { Kind } from "../shared/kind.ts";
import type { PortKeeper } from "./admission.ts";
import type { Names } from "./names.ts";
import type { Random } from "./random-name.ts";
import type { WayDeps } from "./tunnel-way.ts";

/** Ports that may be given away, both ends included. */
export interface PortRange {
  /** Where they open; absent: where the relay listens. */
  readonly host?: string;
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
  readonly tunnels: WayDeps["tunnels"];
  /** What the relay was started with; absent: none of that kind. */
  readonly ranges: { readonly tcp?: PortRange | undefined; readonly udp?: PortRange | undefined };
  /**
   * Where relays share names, and with them ports: resolves when what was changed of the name is written, and the port is
   * the name's or not. Rejects with `registry-unreachable`.
   */
  readonly commit?: (name: string) => Promise<void>;
  /** Opens the port for the tunnel's visitors. Rejects with `port-in-use`. */
  readonly bind: (kind: "tcp" | "udp", port: number, name: string) => Promise<BoundPort>;
}

interface Endpoint {
  readonly name: string;
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
  /**
   * By kind and name: a name that is claimed for another kind keeps what is open as long as its agents are here, who may
   * never have to leave (the claim can be refused yet).
   */
  readonly #open = new Map<string, Endpoint>();
  /** The same by kind and port: one each. */
  readonly #atPort = new Map<string, Endpoint>();
  /** One at a time for each name. */
  readonly #opening = new Map<string, Promise<unknown>>();
  /** Names whose port is open at other relays, and was in use here when it was told. */
  readonly #closedHere = new Set<string>();
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
    return await this.#inTurn(name, () => this.#reserve(name, owner, kind, asked));
  }

  /**
   * At the start: opens the ports of agents that an earlier process had, so that their visitors may wait for them. One
   * that can't be opened stays its name's, and is no reason for another: the earlier process may still be leaving.
   */
  async inherit(): Promise<void> {
    const { names, ranges } = this.#deps;
    for (const { name, kind } of names.awaitedPorts()) {
      const port = names.portOf(name, kind);
      if ((kind !== "tcp" && kind !== "udp") || port === undefined || !isIn(ranges[kind], port)) continue;
      await this.#inTurn(name, async () => (await this.#bound(name, kind, port)) !== undefined);
    }
  }

  /** More is known of the name: where it has agents at any relay, its port is open at each that gives such ports away. */
  told(name: string): void {
    const { names } = this.#deps;
    const kind = names.lookup(name)?.kind;
    if (kind !== "tcp" && kind !== "udp") return;
    if (!this.#isMissing(name, kind) || this.#opening.has(name)) return;
    // What can't be opened here is open at others, and tried again.
    this.#inTurn(name, async () => {
      const port = this.#isMissing(name, kind) ? names.portOf(name, kind) : undefined;
      if (port === undefined) return;
      if (this.#clears(name, kind, port) && (await this.#bound(name, kind, port)) !== undefined) return;
      this.#closedHere.add(name);
      if (this.#cancelSweep === undefined) this.#sweepLater();
    }).catch(() => {});
  }

  #isMissing(name: string, kind: "tcp" | "udp"): boolean {
    const { names, ranges, tunnels } = this.#deps;
    const port = names.portOf(name, kind);
    if (port === undefined || this.#closed || !isIn(ranges[kind], port)) return false;
    return this.#open.get(keyOf(kind, name))?.port !== port && tunnels.find(name)?.serves(kind) === true;
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
    this.#atPort.clear();
  }

  async #inTurn<T>(name: string, run: () => Promise<T>): Promise<T> {
    for (let before = this.#opening.get(name); before !== undefined; before = this.#opening.get(name))
      await before.catch(() => {});
    const opening = run();
    this.#opening.set(name, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(name);
    }
  }

  async #reserve(name: string, owner: string, kind: Kind, asked: number | undefined): Promise<number> {
    const { names, clock, ranges } = this.#deps;
    const range = kind === "tcp" ? ranges.tcp : kind === "udp" ? ranges.udp : undefined;
    if (range === undefined || (kind !== "tcp" && kind !== "udp"))
      throw new UnderpassError("kind-unavailable");
    if (asked !== undefined && !isIn(range, asked))
      throw new UnderpassError("port-forbidden", `The relay gives away ports ${range.low} to ${range.high}.`);
    const open = this.#open.get(keyOf(kind, name));
    // Where the store has lost it, the one that is open is the name's.
    const kept = names.portOf(name, kind) ?? open?.port;
    const wanted = asked ?? (kept !== undefined && isIn(range, kept) ? kept : undefined);
    if (open !== undefined && open.port === wanted && names.givePort(name, kind, wanted, clock.now()))
      return wanted;
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
    const { names, clock, commit } = this.#deps;
    const before = names.portOf(name, kind);
    if (!this.#isFree(name, kind, port) || !names.givePort(name, kind, port, clock.now())) return false;
    const giveBack = () => {
      names.dropPort(name, port);
      if (before !== undefined && before !== port) names.givePort(name, kind, before, clock.now());
    };
    try {
      await commit?.(name);
    } catch (error) {
      giveBack();
      throw error;
    }
    // Another relay may have given it to another name meanwhile.
    const isGiven = names.portOf(name, kind) === port && this.#clears(name, kind, port);
    if (isGiven && (await this.#bound(name, kind, port)) !== undefined) return true;
    giveBack();
    return false;
  }

  /** No other name has the port open here whose agents are there. */
  #isFree(name: string, kind: Kind, port: number): boolean {
    const other = this.#otherAt(name, kind, port);
    return other === undefined || this.#deps.tunnels.find(other.name)?.serves(kind) !== true;
  }

  /** Closes it where another name has it that has lost it: its own agent has gone. false: it has not. */
  #clears(name: string, kind: Kind, port: number): boolean {
    if (!this.#isFree(name, kind, port)) return false;
    const other = this.#otherAt(name, kind, port);
    if (other !== undefined) this.#shut(kind, other.name);
    return true;
  }

  #otherAt(name: string, kind: Kind, port: number): Endpoint | undefined {
    const endpoint = this.#atPort.get(keyOf(kind, port));
    return endpoint?.name === name ? undefined : endpoint;
  }

  /** Opens the port in place of the one that the name had; undefined: another program or name has it, and that one stays open. */
  async #bound(name: string, kind: "tcp" | "udp", port: number): Promise<BoundPort | undefined> {
    const { clock, bind } = this.#deps;
    let bound: BoundPort;
    try {
      bound = await bind(kind, port, name);
    } catch (error) {
      if (!(error instanceof UnderpassError)) throw error;
      return undefined;
    }
    if (this.#closed) {
      bound.close();
      throw new UnderpassError("going-away");
    }
    // Where processes share ports, another name may have opened it meanwhile.
    if (!this.#clears(name, kind, port)) {
      bound.close();
      return undefined;
    }
    this.#shut(kind, name);
    const endpoint = { name, kind, port, bound, openedMs: clock.now() };
    this.#open.set(keyOf(kind, name), endpoint);
    this.#atPort.set(keyOf(kind, port), endpoint);
    if (this.#cancelSweep === undefined) this.#sweepLater();
    return bound;
  }

  #shut(kind: Kind, name: string): void {
    const endpoint = this.#open.get(keyOf(kind, name));
    if (endpoint === undefined) return;
    endpoint.bound.close();
    this.#open.delete(keyOf(kind, name));
    this.#atPort.delete(keyOf(kind, endpoint.port));
  }

  #sweepLater(): void {
    const { clock, tunnels } = this.#deps;
    this.#cancelSweep = clock.at(clock.now() + endpointLimits.sweepMs, () => {
      this.#cancelSweep = undefined;
      const nowMs = clock.now();
      for (const { name, kind, openedMs } of this.#open.values()) {
        const isNew = nowMs - openedMs < endpointLimits.awaitAgentMs;
        if (!isNew && tunnels.find(name)?.serves(kind) !== true && !tunnels.expects(name, kind, nowMs))
          this.#shut(kind, name);
      }
      const again = [...this.#closedHere];
      this.#closedHere.clear();
      for (const name of again) this.told(name);
      if (this.#open.size > 0) this.#sweepLater();
    });
  }

  #draw(size: number): number {
    const bytes = this.#deps.random(new Uint8Array(4));
    return new DataView(bytes.buffer).getUint32(0) % size;
  }
}

function keyOf(kind: Kind, nameOrPort: string | number): string {
  return `${kind} ${nameOrPort}`;
}

function isIn(range: PortRange | undefined, port: number): boolean {
  return range !== undefined && port >= range.low && port <= range.high;
}
