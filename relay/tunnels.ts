import type { Driver } from "../shared/driver.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import type { Names } from "./names.ts";

/** One session of an agent, as a tunnel sees it. */
export interface AgentSession {
  readonly driver: Driver;
  readonly instance: string;
  readonly slot: number;
  /** Given by `Tunnels.add`; shared by the sessions of one instance. */
  generation: number;
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

/** As long as a session could have been resumed: two supervisors of one name must not fight. */
const rememberedForMs = 60_000;
const maxRemembered = 100_000;

/** A tunnel served by sessions of this process. */
class LocalTunnel implements Tunnel {
  readonly sessions = new Set<AgentSession>();
  generation = 0;
  /** Of the last instance that came without `join`: older ones have lost the name. */
  exclusiveGeneration = 0;

  constructor(readonly name: string) {}

  get reachable(): boolean {
    for (const session of this.sessions) if (!isLeaving(session)) return true;
    return false;
  }

  open(kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    let best: AgentSession | undefined;
    for (const session of this.sessions) {
      if (isLeaving(session)) continue;
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
  /** By name and instance: who came, was superseded, or left lately. */
  private readonly instances = new Map<string, { readonly generation: number; readonly untilMs: number }>();

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

  /** Whether a newer instance took the name over from this one, which was here within the resume window. */
  isSuperseded(name: string, instance: string, nowMs: number): boolean {
    const known = this.instances.get(`${name} ${instance}`);
    const tunnel = this.live.get(name);
    return (
      known !== undefined &&
      tunnel !== undefined &&
      known.untilMs > nowMs &&
      known.generation < tunnel.exclusiveGeneration
    );
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
    if (own.length === 0) {
      tunnel.generation = ++this.lastGeneration;
      if (!options.join) tunnel.exclusiveGeneration = tunnel.generation;
    }
    // Only its first session takes over: a redial of an older instance must not, whoever has joined meanwhile.
    const takesOver = own.length === 0 && !options.join;
    const superseded = takesOver ? present.filter((other) => !isLeaving(other)) : [];
    const replaced = own.filter((other) => other.slot === session.slot && !isLeaving(other));
    for (const other of [...superseded, ...replaced]) other.leaving = true;
    session.generation = own[0]?.generation ?? tunnel.generation;
    for (const one of [session, ...superseded]) this.remember(name, one, options.nowMs);
    tunnel.sessions.add(session);
    this.names.touch(name, options.nowMs);
    return { generation: session.generation, superseded, replaced };
  }

  /** A session is over. The name stays its owner's for a while. Idempotent. */
  remove(name: string, session: AgentSession, nowMs: number): void {
    const tunnel = this.live.get(name);
    this.remember(name, session, nowMs);
    if (tunnel === undefined || !tunnel.sessions.delete(session) || tunnel.sessions.size > 0) return;
    this.live.delete(name);
    this.names.leave(name, nowMs);
  }

  /** Keeps an instance's generation for the resume window from now; the longest unseen go first. */
  private remember(name: string, { instance, generation }: AgentSession, nowMs: number): void {
    const key = `${name} ${instance}`;
    this.instances.delete(key);
    this.instances.set(key, { generation, untilMs: nowMs + rememberedForMs });
    for (const [oldest, { untilMs }] of this.instances) {
      if (untilMs > nowMs && this.instances.size <= maxRemembered) return;
      this.instances.delete(oldest);
    }
  }
}

/** By its own word, or because its stream ids are used up. */
function isLeaving(session: AgentSession): boolean {
  return session.leaving || session.driver.session.leaving;
}
