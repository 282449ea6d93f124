import type { Clock } from "../shared/clock.ts";
import type { Code } from "../shared/errors.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import { hopHead } from "./cluster/hop.ts";
import type { Neighbours } from "./cluster/neighbours.ts";
import type { SharedNames } from "./stores/shared-names.ts";
import type { WayDeps } from "./tunnel-way.ts";
import type { Service, Tunnel, Tunnels } from "./tunnels.ts";

export interface FarTunnelsDeps {
  readonly clock: Clock;
  readonly here: WayDeps["tunnels"] & Pick<Tunnels, "isHog">;
  readonly names: Pick<SharedNames, "relaysOf" | "isInDoubt" | "looksUp" | "get">;
  /** Absent: relays have no way to each other. */
  readonly neighbours?: Pick<Neighbours, "hop" | "isUp"> | undefined;
  /** The neighbour has said that it drains: only who has no other choice is sent there. */
  readonly isDraining?: ((relay: string) => boolean) | undefined;
  readonly metrics: { hopsOut: number };
}

const farLimits = {
  /** A neighbour that has said that it has no agent is not asked again so soon: the registry tells meanwhile who has. */
  avoidMs: 250,
  maxAvoided: 10_000,
} as const;

/** Tunnels on this relay, or on another of those that share their names: the nearest agent first. */
export class FarTunnels {
  /** By relay and name: until when it is not asked. */
  readonly #avoided = new Map<string, number>();
  #turn = 0;

  constructor(private readonly deps: FarTunnelsDeps) {}

  find(name: string): Tunnel | undefined {
    const { here, names } = this.deps;
    const near = here.find(name);
    const relays = names.relaysOf(name);
    if (relays.length > 0) return new FarTunnel(name, near, relays, this);
    // It may be somebody's: who asks is to come again.
    return near ?? (names.isInDoubt(name) ? new FarTunnel(name, undefined, [], this) : undefined);
  }

  expects(...[name, service, nowMs]: Parameters<WayDeps["tunnels"]["expects"]>): boolean {
    const { here, names, neighbours } = this.deps;
    if (names.looksUp(name)) return true;
    // Where there is no way, who has come to another relay does not come back here.
    if (names.relaysOf(name).length > 0 && neighbours === undefined) return false;
    // One whose place here is written already, and who has not read WELCOME yet.
    const row = names.get(name);
    const isArriving = row?.place === "here" && (row.kind === service || service === "egress");
    return isArriving || here.expects(name, service, nowMs) || this.serves(name, service);
  }

  /** At a neighbour; what is a way out is known to the neighbour alone. */
  serves(name: string, service: Service): boolean {
    const { names } = this.deps;
    const isOf = service === "egress" || names.get(name)?.kind === service;
    return isOf && names.relaysOf(name).length > 0;
  }

  refusal(name: string): Code {
    return this.deps.names.relaysOf(name).length > 0 ? "agent-elsewhere" : "agent-offline";
  }

  open(
    name: string,
    relays: readonly string[],
    [service, kind, fields, handler]: Parameters<Tunnel["open"]>,
  ): Stream | undefined {
    const { here, neighbours, metrics } = this.deps;
    if (here.isHog(name)) return undefined;
    const others = this.others(name, relays);
    // The last that there is to ask: it may wait there.
    const head = hopHead({ service, name, waits: others.length === 1 }, fields);
    for (const relay of others) {
      const stream = neighbours?.hop(relay, name, kind, head, this.ear(name, relay, handler));
      if (stream === undefined) continue;
      metrics.hopsOut++;
      return stream;
    }
    return undefined;
  }

  /** Those that can be asked now, each of them first in its turn. */
  others(name: string, relays: readonly string[]): string[] {
    const { neighbours, clock, isDraining } = this.deps;
    const nowMs = clock.now();
    const first = relays.length > 1 ? this.#turn++ % relays.length : 0;
    const found = [...relays.slice(first), ...relays.slice(0, first)].filter(
      (relay) => neighbours?.isUp(relay) === true && (this.#avoided.get(`${relay} ${name}`) ?? 0) <= nowMs,
    );
    const staying = found.filter((relay) => isDraining?.(relay) !== true);
    return staying.length > 0 ? staying : found;
  }

  /** Until the first word, which is all that a neighbour may say itself. */
  private ear(name: string, relay: string, handler: StreamHandler): StreamHandler {
    return {
      head: (fields) => handler.head(fields),
      data: (bytes) => handler.data(bytes),
      end: () => handler.end(),
      left: () => handler.left(),
      writable: () => handler.writable(),
      datagram: (payload) => handler.datagram?.(payload),
      reset: (code) => {
        if (code !== "agent-elsewhere") return handler.reset(code);
        this.avoid(`${relay} ${name}`);
        handler.reset("unprocessed");
      },
    };
  }

  private avoid(key: string): void {
    const { avoidMs, maxAvoided } = farLimits;
    if (this.#avoided.size >= maxAvoided) this.#avoided.clear();
    this.#avoided.set(key, this.deps.clock.now() + avoidMs);
  }
}

/** A tunnel whose agents are at other relays; `near`: some of them are here too, which is the shorter way. */
class FarTunnel implements Tunnel {
  constructor(
    readonly name: string,
    private readonly near: Tunnel | undefined,
    /** Of all its agents. */
    private readonly relays: readonly string[],
    private readonly far: FarTunnels,
  ) {}

  get refusal(): Code {
    return this.far.refusal(this.name);
  }

  open(...stream: Parameters<Tunnel["open"]>): Stream | undefined {
    return this.near?.open(...stream) ?? this.far.open(this.name, this.relays, stream);
  }
  reaches(service: Service): boolean {
    if (this.near?.reaches(service) === true) return true;
    return this.far.serves(this.name, service) && this.far.others(this.name, this.relays).length > 0;
  }
  serves(service: Service): boolean {
    return this.near?.serves(service) === true || this.far.serves(this.name, service);
  }
}
