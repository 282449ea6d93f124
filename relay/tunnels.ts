import type { Code } from "../shared/errors.ts";
import type { Kind } from "../shared/kind.ts";
import type { Memory } from "../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import { isQuicker } from "../shared/quickest.ts";
import type { AgentSession } from "./agent-session.ts";
import type { Names } from "./names.ts";
import { type RecentAgent, RecentAgents } from "./recent-agents.ts";
import type { ArrivalFacts, GivenPlace, SessionHome, SessionPlace } from "./session-home.ts";
import type { Suspended } from "./suspended.ts";

/** What a visitor comes for: what the tunnel carries, or a way out of the agent's network. */
export type Service = Kind | "egress";

/** What a visitor's ingress needs of a tunnel: on this relay now, later also on another. */
export interface Tunnel {
  readonly name: string;
  /** Opens a stream of `kind` (streamKinds) on the session that will answer soonest. undefined: no agent takes one now. */
  open(service: Service, kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined;
  /** An agent with this service is here and stays: where `open` gives nothing, a limit is reached. */
  reaches(service: Service): boolean;
  /** One of its agents, be it without a link for the moment, has this service. */
  serves(service: Service): boolean;
  /** Why it takes no stream, where its agents can't be reached from here. */
  readonly refusal?: Code;
}

const tunnelLimits = {
  /** Of one name: above it, the one that waits longest for a link ends. */
  maxSessions: 256,
  /** Times that a store gives back may be so far off. */
  roundedMs: 1_000,
} as const;

export interface TunnelsOptions {
  readonly suspended: Suspended;
  /** That visitors' streams take; no tunnel takes all of it. */
  readonly memory: Memory;
  /** How long a session can be resumed. So long two supervisors of one name must not fight, and visitors may wait. */
  readonly resumeWindowMs: number;
  /** Whether relays are agreeing on the place of an agent that has come here; absent: none waits for that. */
  readonly isArriving?: (name: string) => boolean;
  /** How many streams visitors of the tunnel have from here at other relays; absent: there are none. */
  readonly hopsOf?: (name: string) => number;
  /** Told, where other relays are to know, when the last session of an agent is over; `bye`: it is not expected back. */
  readonly departed?: (name: string, instance: string, how: { readonly bye: boolean }) => void;
}

/** A tunnel served by sessions of this process. */
class LocalTunnel implements Tunnel {
  readonly sessions = new Set<AgentSession>();
  generation = 0;
  /** Of the last instance that came without `join`: older ones have lost the name. */
  exclusiveGeneration = 0;
  /** The newest instance has said goodbye. */
  isBye = false;

  constructor(
    readonly name: string,
    /** The rest is for others. */
    private readonly isHog: () => boolean,
  ) {}

  reaches(service: Service): boolean {
    for (const session of this.sessions) if (offers(session, service) && takesStreams(session)) return true;
    return false;
  }

  serves(service: Service): boolean {
    for (const session of this.sessions) if (offers(session, service)) return true;
    return false;
  }

  /** Somebody may take streams again without a new session, or has just lost his and is about to come back. */
  hopes(service: Service): boolean {
    let allOver = true;
    for (const session of this.sessions) {
      if (!offers(session, service)) continue;
      if (!isLeaving(session)) return true;
      const { driver, saidBye, leaving } = session;
      if (saidBye || leaving || !driver.session.over) allOver = false;
    }
    return allOver && this.serves(service);
  }

  open(service: Service, kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    let best: AgentSession | undefined;
    for (const session of this.sessions)
      if (
        offers(session, service) &&
        takesStreams(session) &&
        (best === undefined || isQuicker(session.driver, best.driver))
      )
        best = session;
    if (best === undefined || this.isHog()) return undefined;
    const stream = best.driver.session.open(kind, fields, handler);
    if (stream !== undefined) return stream;
    // It has as many as it may: any other will do.
    for (const session of this.sessions) {
      const other = session !== best && offers(session, service) && takesStreams(session);
      const opened = other ? session.driver.session.open(kind, fields, handler) : undefined;
      if (opened !== undefined) return opened;
    }
    return undefined;
  }
}

/** Who is here: the tunnels with at least one session on this relay, be it without a link. */
export class Tunnels implements SessionHome {
  /** Told when a tunnel may take streams again, or when there is no more use in waiting for it. */
  onReady: (name: string) => void = () => {};
  private readonly live = new Map<string, LocalTunnel>();
  private readonly byId = new Map<string, AgentSession>();
  private lastGeneration = 0;
  private readonly recent: RecentAgents;

  constructor(
    private readonly names: Names,
    private readonly options: TunnelsOptions,
  ) {
    this.recent = new RecentAgents(options.resumeWindowMs);
  }

  get size(): number {
    return this.live.size;
  }

  find(name: string): Tunnel | undefined {
    return this.live.get(name);
  }

  /** Its visitors have so many streams, to agents here and elsewhere, that what is left is for those of other tunnels. */
  isHog(name: string): boolean {
    const { hopsOf, memory } = this.options;
    if (this.live.size <= 1 && hopsOf === undefined) return false;
    let open = hopsOf?.(name) ?? 0;
    for (const { driver } of this.live.get(name)?.sessions ?? []) open += driver.session.openStreams;
    return memory.isHog(open);
  }

  /** An agent is expected back: it was here within the resume window and did not say bye. Requests wait for it. */
  expects(name: string, service: Service, nowMs: number): boolean {
    if (this.live.get(name)?.hopes(service) === true) return true;
    const kind = this.names.lookup(name)?.kind;
    if (kind !== service && service !== "egress") return false;
    // Whom it replaces may be gone before it is here.
    if (this.options.isArriving?.(name) === true) return true;
    const sinceMs = this.names.awaitedSince(name);
    // A date that was set back lies in the future; one that was kept is rounded.
    return (
      sinceMs !== undefined &&
      sinceMs <= nowMs + tunnelLimits.roundedMs &&
      nowMs - sinceMs < this.options.resumeWindowMs
    );
  }

  /** The session with this id, if it is held. */
  session(id: string): AgentSession | undefined {
    return this.byId.get(id);
  }

  *sessions(): Iterable<AgentSession> {
    for (const tunnel of this.live.values()) yield* tunnel.sessions;
  }

  /** Agents that stay and serve another kind are here under this name. */
  hasOtherKind(name: string, kind: SessionPlace["kind"]): boolean {
    for (const session of this.live.get(name)?.sessions ?? [])
      if (session.kind !== kind && !isLeaving(session)) return true;
    return false;
  }

  /** The sessions that are here under this name. */
  sessionsOf(name: string): readonly AgentSession[] {
    return [...(this.live.get(name)?.sessions ?? [])];
  }

  /** Agents of the name below that generation have lost it, here or elsewhere. */
  fence(name: string, exclusive: number): void {
    const tunnel = this.live.get(name);
    if (tunnel !== undefined) tunnel.exclusiveGeneration = Math.max(tunnel.exclusiveGeneration, exclusive);
  }

  /** Somebody else's agents are here under this name. */
  hasOther(name: string, owner: string): boolean {
    for (const session of this.live.get(name)?.sessions ?? []) if (session.owner !== owner) return true;
    return false;
  }

  /** The names with agents here that stay, and whose they are. */
  *owners(): Iterable<{ readonly name: string; readonly owner: string }> {
    for (const { name, sessions } of this.live.values())
      for (const session of sessions) {
        if (!session.driver.hasLink || isLeaving(session)) continue;
        yield { name, owner: session.owner };
        break;
      }
  }

  siblings({ name, instance }: Pick<SessionPlace, "name" | "instance">): AgentSession[] {
    return [...(this.live.get(name)?.sessions ?? [])].filter((session) => session.instance === instance);
  }

  /** Whether a newer instance took the name over from this one, which was here within the resume window. */
  isSuperseded(name: string, instance: string, nowMs: number): boolean {
    const known = this.recent.find({ name, instance }, nowMs);
    const tunnel = this.live.get(name);
    return known !== undefined && tunnel !== undefined && known.generation < tunnel.exclusiveGeneration;
  }

  lastAttempt({ name, instance, slot }: Pick<SessionPlace, "name" | "instance" | "slot">): number {
    let latest = 0;
    for (const session of this.siblings({ name, instance }))
      if (session.slot === slot && !isLeaving(session) && !session.driver.session.saysGoaway)
        latest = Math.max(latest, session.attempt);
    return latest;
  }

  /**
   * Adds a session. The sessions of other instances are returned, to be told that they are superseded, unless
   * `join` shares the name; so is one whose place (instance and slot) this one takes, as its agent has given it up.
   * `generation` rises with each new instance and is shared by the sessions of one; where it is given, so is whom it
   * supersedes.
   */
  add(
    session: AgentSession,
    options: ArrivalFacts,
  ): {
    readonly superseded: AgentSession[];
    readonly replaced: AgentSession[];
  } {
    const { name } = session;
    const tunnel = this.tunnel(name);
    const present = [...tunnel.sessions];
    const own = present.filter((other) => other.instance === session.instance);
    const known = this.recent.find(session, options.nowMs);
    const { generation, exclusive } = options.given ?? this.give(tunnel, own, known, options.join);
    if (generation > tunnel.generation) tunnel.isBye = false;
    tunnel.generation = Math.max(tunnel.generation, generation);
    tunnel.exclusiveGeneration = Math.max(tunnel.exclusiveGeneration, exclusive);
    const superseded = present.filter((other) => other.generation < exclusive && !isLeaving(other));
    const replaced = own.filter(
      (other) => other.slot === session.slot && !isLeaving(other) && !other.driver.session.saysGoaway,
    );
    for (const other of [...superseded, ...replaced]) other.leaving = true;
    session.generation = generation;
    // One that was still in its handshake when its agent said goodbye.
    if (known?.saidBye === true) session.saidBye = true;
    for (const one of [session, ...superseded]) this.recent.remember(one, options.nowMs);
    tunnel.sessions.add(session);
    this.byId.set(session.id, session);
    if (tunnel.sessions.size > tunnelLimits.maxSessions) this.endLongest(name);
    return { superseded, replaced };
  }

  takeUp(
    session: AgentSession,
    { exclusiveGeneration, nowMs }: { readonly exclusiveGeneration: number; readonly nowMs: number },
  ): void {
    const tunnel = this.tunnel(session.name);
    tunnel.generation = Math.max(tunnel.generation, session.generation);
    tunnel.exclusiveGeneration = Math.max(tunnel.exclusiveGeneration, exclusiveGeneration);
    this.lastGeneration = Math.max(this.lastGeneration, session.generation);
    tunnel.sessions.add(session);
    this.byId.set(session.id, session);
    this.recent.remember(session, nowMs);
  }

  /** Of the last instance that came without `join`. */
  exclusiveGeneration(name: string): number {
    return this.live.get(name)?.exclusiveGeneration ?? 0;
  }

  /** Until when it matters that instances were here which are not any more, while others are: they must not take over. */
  remembersUntil(name: string): number {
    const tunnel = this.live.get(name);
    if (tunnel === undefined) return 0;
    return this.recent.untilMs(name, new Set([...tunnel.sessions].map(({ instance }) => instance)));
  }

  /** The agent of this session is leaving for good, whichever of its sessions said so. */
  saidBye(session: AgentSession, nowMs: number): void {
    const { name, instance, generation } = session;
    session.saidBye = true;
    // One that was told to leave says goodbye when it has finished, which means nothing to the others.
    if (session.driver.session.saysGoaway) return this.onReady(name);
    for (const sibling of this.siblings({ name, instance })) sibling.saidBye = true;
    this.recent.remember(session, nowMs, { saidBye: true });
    const tunnel = this.live.get(name);
    if (tunnel?.generation === generation) tunnel.isBye = true;
    this.onReady(name);
  }

  /** A session has a link that takes streams, or none any more, or one that is in doubt. */
  changed(session: AgentSession): void {
    this.options.suspended.changed(session);
    this.onReady(session.name);
  }

  /** A session is over. The name stays its owner's for a while. Idempotent. */
  remove(session: AgentSession, nowMs: number): void {
    const { name } = session;
    const tunnel = this.live.get(name);
    if (this.byId.get(session.id) !== session) return;
    this.byId.delete(session.id);
    const { suspended, resumeWindowMs, departed } = this.options;
    const waited = suspended.has(session);
    suspended.forget(session);
    this.recent.remember(session, nowMs);
    tunnel?.sessions.delete(session);
    // Who was waited for in vain is not waited for again.
    const inVain = waited && nowMs - session.driver.heardMs >= resumeWindowMs;
    if (this.siblings(session).length === 0)
      departed?.(name, session.instance, { bye: session.saidBye || inVain });
    if (tunnel?.sessions.size === 0) {
      this.live.delete(name);
      // One that had lost the name, and ends after the newest, says nothing of it.
      const isBye = session.saidBye || (session.leaving && tunnel.isBye);
      this.names.leave(name, nowMs, { bye: isBye || inVain });
    }
    this.onReady(name);
  }

  /** The generation of an agent where no other relay has a say in it. */
  private give(
    tunnel: LocalTunnel,
    own: readonly AgentSession[],
    known: RecentAgent | undefined,
    join: boolean,
  ): GivenPlace {
    const { exclusiveGeneration: exclusive, sessions } = tunnel;
    const before = own[0]?.generation ?? (sessions.size > 0 ? known?.generation : undefined);
    // Only its first session takes over: a redial of an older instance must not, whoever has joined meanwhile.
    if (before !== undefined) return { generation: before, exclusive };
    const generation = ++this.lastGeneration;
    return { generation, exclusive: join ? exclusive : generation };
  }

  private tunnel(name: string): LocalTunnel {
    const tunnel = this.live.get(name) ?? new LocalTunnel(name, () => this.isHog(name));
    this.live.set(name, tunnel);
    return tunnel;
  }

  private endLongest(name: string): void {
    this.options.suspended.longest((session) => session.name === name)?.driver.session.lost("link-lost");
  }
}

/** By its own word, because another took over, or because its stream ids are used up. */
function isLeaving({ leaving, saidBye, driver }: AgentSession): boolean {
  return leaving || saidBye || driver.session.leaving;
}

function offers({ kind, offersEgress }: AgentSession, service: Service): boolean {
  return service === "egress" ? offersEgress : kind === service;
}

/** On a link that nothing is wrong with, of an agent that is known to have read WELCOME: else a stream could be nobody's. */
function takesStreams(session: AgentSession): boolean {
  return session.driver.isUp && session.driver.confirmed && !isLeaving(session);
}
