import type { Driver } from "../shared/driver.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import type { Names } from "./names.ts";

/** One session of an agent, as a tunnel sees it. */
export interface AgentSession {
  readonly driver: Driver;
  readonly instance: string;
  readonly slot: number;
  /** Ends what was set going for this session alone. */
  cancelGrace?: () => void;
  /** Takes no new streams: the agent said GOAWAY, or a newer instance took over. */
  leaving: boolean;
}

/** What a visitor's ingress needs of a tunnel: on this relay now, later also on another. */
export interface Tunnel {
  readonly name: string;
  /** Opens a stream on the session that has least to do. undefined: no agent takes one now. */
  open(kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined;
  /** An agent is here and stays: where `open` gives nothing, a limit is reached. */
  readonly reachable: boolean;
}

/** As long as a session could have been resumed. */
const supersededForMs = 60_000;

/** A tunnel served by sessions of this process. */
class LocalTunnel implements Tunnel {
  readonly sessions = new Set<AgentSession>();
  generation = 0;
  /** Instances that a newer one took over from, and until when they are turned away: two supervisors must not fight. */
  readonly turnedAway = new Map<string, number>();

  constructor(readonly name: string) {}

  get reachable(): boolean {
    for (const session of this.sessions) if (!session.leaving) return true;
    return false;
  }

  open(kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    let best: AgentSession | undefined;
    for (const session of this.sessions) {
      if (session.leaving) continue;
      if (best === undefined || session.driver.session.openStreams < best.driver.session.openStreams)
        best = session;
    }
    return best?.driver.session.open(kind, fields, handler);
  }
}

/** Who is here: the tunnels with at least one session on this relay. */
export class Tunnels {
  private readonly live = new Map<string, LocalTunnel>();
  private lastGeneration = 0;

  constructor(private readonly names: Names) {}

  get size(): number {
    return this.live.size;
  }

  find(name: string): Tunnel | undefined {
    return this.live.get(name);
  }

  *sessions(): Iterable<AgentSession> {
    for (const tunnel of this.live.values()) yield* tunnel.sessions;
  }

  /** Whether a newer instance has taken over from this one within the resume window. */
  isSuperseded(name: string, instance: string, nowMs: number): boolean {
    return (this.live.get(name)?.turnedAway.get(instance) ?? 0) > nowMs;
  }

  /**
   * Adds a session. The sessions of other instances are returned, to be told that they are superseded, unless
   * `join` shares the name; so is one whose place (instance and slot) this one takes, as its link must be dead.
   * `generation` rises with each new instance and is shared by the sessions of one.
   */
  add(
    name: string,
    session: AgentSession,
    options: { readonly join: boolean; readonly nowMs: number },
  ): {
    readonly generation: number;
    readonly superseded: AgentSession[];
    readonly replaced: AgentSession[];
  } {
    let tunnel = this.live.get(name);
    if (tunnel === undefined) {
      tunnel = new LocalTunnel(name);
      this.live.set(name, tunnel);
    }
    const present = [...tunnel.sessions];
    const own = present.filter((other) => other.instance === session.instance);
    if (own.length === 0) tunnel.generation = ++this.lastGeneration;
    const superseded = options.join ? [] : present.filter((other) => !own.includes(other) && !other.leaving);
    const replaced = own.filter((other) => other.slot === session.slot && !other.leaving);
    for (const other of [...superseded, ...replaced]) other.leaving = true;
    const { turnedAway } = tunnel;
    for (const [instance, untilMs] of turnedAway) if (untilMs <= options.nowMs) turnedAway.delete(instance);
    for (const { instance } of superseded) turnedAway.set(instance, options.nowMs + supersededForMs);
    tunnel.sessions.add(session);
    this.names.touch(name, options.nowMs);
    return { generation: tunnel.generation, superseded, replaced };
  }

  /** A session is over. The name stays its owner's for a while. Idempotent. */
  remove(name: string, session: AgentSession, nowMs: number): void {
    const tunnel = this.live.get(name);
    if (tunnel === undefined || !tunnel.sessions.delete(session) || tunnel.sessions.size > 0) return;
    this.live.delete(name);
    this.names.leave(name, nowMs);
  }
}
