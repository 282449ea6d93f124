import { limits } from "../shared/mux/limits.ts";
import type { Memory } from "../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import type { AgentSession } from "./agent-session.ts";
import type { Names } from "./names.ts";

/** What a visitor's ingress needs of a tunnel: on this relay now, later also on another. */
export interface Tunnel {
  readonly name: string;
  /** Opens a stream on the session that will answer soonest. undefined: no agent takes one now. */
  open(kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined;
  /** An agent is here and stays: where `open` gives nothing, a limit is reached. */
  readonly reachable: boolean;
}

const tunnelLimits = {
  maxRemembered: 100_000,
  /** Of one name: above it, the one that waits longest for a link ends. */
  maxSessions: 256,
  /** Times that a store gives back may be so far off. */
  roundedMs: 1_000,
  /** What a session without a link takes beside what it holds. */
  sessionBytes: 10_240,
  /** Sessions whose expected answers differ by less are chosen by how much they have to do. */
  evenAnswerMs: 1,
} as const;

interface Remembered {
  readonly generation: number;
  readonly saidBye: boolean;
  readonly untilMs: number;
}

export interface TunnelsOptions {
  /** Sessions without a link may hold a quarter of it. */
  readonly memory: Memory;
  /** How long a session can be resumed. So long two supervisors of one name must not fight, and visitors may wait. */
  readonly resumeWindowMs: number;
}

/** A tunnel served by sessions of this process. */
class LocalTunnel implements Tunnel {
  readonly sessions = new Set<AgentSession>();
  generation = 0;
  /** Of the last instance that came without `join`: older ones have lost the name. */
  exclusiveGeneration = 0;
  /** The newest instance has said goodbye. */
  isBye = false;

  constructor(readonly name: string) {}

  get reachable(): boolean {
    for (const session of this.sessions) if (takesStreams(session)) return true;
    return false;
  }

  /** Somebody may take streams again without a new session. */
  get hopeful(): boolean {
    for (const session of this.sessions) if (!isLeaving(session)) return true;
    return false;
  }

  get hasEnded(): boolean {
    for (const { driver, saidBye, leaving } of this.sessions)
      if (saidBye || leaving || !driver.session.over) return false;
    return true;
  }

  open(kind: number, fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    let best: AgentSession | undefined;
    for (const session of this.sessions)
      if (takesStreams(session) && (best === undefined || isQuicker(session, best))) best = session;
    if (best === undefined) return undefined;
    const stream = best.driver.session.open(kind, fields, handler);
    if (stream !== undefined) return stream;
    // It has as many as it may: any other will do.
    for (const session of this.sessions) {
      const other = session !== best && takesStreams(session);
      const opened = other ? session.driver.session.open(kind, fields, handler) : undefined;
      if (opened !== undefined) return opened;
    }
    return undefined;
  }
}

/** Who is here: the tunnels with at least one session on this relay, be it without a link. */
export class Tunnels {
  /** Told when a tunnel may take streams again, or when there is no more use in waiting for it. */
  onReady: (name: string) => void = () => {};
  private readonly live = new Map<string, LocalTunnel>();
  private readonly byId = new Map<string, AgentSession>();
  /** Without a link, the longest first, with the bytes that each holds. */
  private readonly suspended = new Map<AgentSession, number>();
  private suspendedBytes = 0;
  private lastGeneration = 0;
  /** By name and instance: who came, was superseded, or left lately. */
  private readonly instances = new Map<string, Remembered>();

  constructor(
    private readonly names: Names,
    private readonly options: TunnelsOptions,
  ) {}

  get size(): number {
    return this.live.size;
  }

  find(name: string): Tunnel | undefined {
    return this.live.get(name);
  }

  /** An agent is expected back: it was here within the resume window and did not say bye. Requests wait for it. */
  expects(name: string, nowMs: number): boolean {
    const tunnel = this.live.get(name);
    // One whose sessions have all just ended is about to be gone, and its agent to come back.
    if (tunnel?.hopeful === true || tunnel?.hasEnded === true) return true;
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

  /** The sessions of one instance of a tunnel. */
  siblings(name: string, instance: string): AgentSession[] {
    return [...(this.live.get(name)?.sessions ?? [])].filter((session) => session.instance === instance);
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

  /** The latest attempt of the sessions that a fresh one in this place would end; its own must be later. 0: there is none. */
  lastAttempt(
    name: string,
    { instance, slot }: { readonly instance: string; readonly slot: number },
  ): number {
    let latest = 0;
    for (const session of this.siblings(name, instance))
      if (session.slot === slot && !isLeaving(session) && !session.driver.session.saysGoaway)
        latest = Math.max(latest, session.attempt);
    return latest;
  }

  /**
   * Adds a session. The sessions of other instances are returned, to be told that they are superseded, unless
   * `join` shares the name; so is one whose place (instance and slot) this one takes, as its agent has given it up.
   * `generation` rises with each new instance and is shared by the sessions of one.
   */
  add(
    session: AgentSession,
    options: { readonly join: boolean; readonly nowMs: number },
  ): {
    readonly superseded: AgentSession[];
    readonly replaced: AgentSession[];
  } {
    const { name } = session;
    let tunnel = this.live.get(name);
    if (tunnel === undefined) {
      tunnel = new LocalTunnel(name);
      this.live.set(name, tunnel);
    }
    const present = [...tunnel.sessions];
    const own = present.filter((other) => other.instance === session.instance);
    const known = this.instance(session, options.nowMs);
    // Only its first session takes over: a redial of an older instance must not, whoever has joined meanwhile.
    const isNew = own.length === 0 && (known === undefined || present.length === 0);
    if (isNew) {
      tunnel.generation = ++this.lastGeneration;
      tunnel.isBye = false;
      if (!options.join) tunnel.exclusiveGeneration = tunnel.generation;
    }
    const takesOver = isNew && !options.join;
    const superseded = takesOver ? present.filter((other) => !isLeaving(other)) : [];
    const replaced = own.filter(
      (other) => other.slot === session.slot && !isLeaving(other) && !other.driver.session.saysGoaway,
    );
    for (const other of [...superseded, ...replaced]) other.leaving = true;
    session.generation = own[0]?.generation ?? (isNew ? tunnel.generation : (known?.generation ?? 0));
    // One that was still in its handshake when its agent said goodbye.
    if (known?.saidBye === true) session.saidBye = true;
    for (const one of [session, ...superseded]) this.remember(one, options.nowMs);
    tunnel.sessions.add(session);
    this.byId.set(session.id, session);
    this.names.touch(name, options.nowMs);
    if (tunnel.sessions.size > tunnelLimits.maxSessions) this.endLongest(name);
    return { superseded, replaced };
  }

  /** The agent of this session is leaving for good, whichever of its sessions said so. */
  saidBye(session: AgentSession, nowMs: number): void {
    const { name, instance, generation } = session;
    session.saidBye = true;
    // One that was told to leave says goodbye when it has finished, which means nothing to the others.
    if (session.driver.session.saysGoaway) return this.onReady(name);
    for (const sibling of this.siblings(name, instance)) sibling.saidBye = true;
    this.remember(session, nowMs, { saidBye: true });
    const tunnel = this.live.get(name);
    if (tunnel?.generation === generation) tunnel.isBye = true;
    this.onReady(name);
  }

  /** A session has a link that takes streams, or none any more, or one that is in doubt. */
  changed(session: AgentSession): void {
    const known = this.suspended.get(session);
    if (known === undefined && !session.driver.hasLink && !session.driver.session.over) {
      const bytes = session.driver.session.heldBytes + tunnelLimits.sessionBytes;
      this.suspended.set(session, bytes);
      this.suspendedBytes += bytes;
      this.boundSuspended();
    } else if (known !== undefined && session.driver.hasLink) {
      this.suspended.delete(session);
      this.suspendedBytes -= known;
    }
    this.onReady(session.name);
  }

  /** A session is over. The name stays its owner's for a while. Idempotent. */
  remove(session: AgentSession, nowMs: number): void {
    const { name } = session;
    const tunnel = this.live.get(name);
    if (this.byId.get(session.id) !== session) return;
    this.byId.delete(session.id);
    const held = this.suspended.get(session);
    this.suspendedBytes -= held ?? 0;
    this.suspended.delete(session);
    this.remember(session, nowMs);
    tunnel?.sessions.delete(session);
    if (tunnel?.sessions.size === 0) {
      this.live.delete(name);
      // Who was waited for in vain is not waited for again.
      const inVain = held !== undefined && nowMs - session.driver.heardMs >= this.options.resumeWindowMs;
      // One that had lost the name, and ends after the newest, says nothing of it.
      const isBye = session.saidBye || (session.leaving && tunnel.isBye);
      this.names.leave(name, nowMs, { bye: isBye || inVain });
    }
    this.onReady(name);
  }

  /** What sessions without links hold is bounded: the largest goes first. */
  private boundSuspended(): void {
    const cap = this.options.memory.capBytes / 4;
    while (this.suspendedBytes > cap) {
      let largest: AgentSession | undefined;
      for (const [session, bytes] of this.suspended)
        if (largest === undefined || bytes > (this.suspended.get(largest) ?? 0)) largest = session;
      if (largest === undefined) return;
      largest.driver.session.lost("link-lost");
    }
  }

  private endLongest(name: string): void {
    for (const session of this.suspended.keys()) {
      if (session.name !== name) continue;
      session.driver.session.lost("link-lost");
      return;
    }
  }

  /** What is remembered of an instance that was here within the resume window. */
  private instance({ name, instance }: AgentSession, nowMs: number): Remembered | undefined {
    const known = this.instances.get(`${name} ${instance}`);
    return known !== undefined && known.untilMs > nowMs ? known : undefined;
  }

  /** Keeps an instance's generation for the resume window from now; the longest unseen go first. */
  private remember(
    { name, instance, generation }: AgentSession,
    nowMs: number,
    { saidBye }: { readonly saidBye?: boolean } = {},
  ): void {
    const key = `${name} ${instance}`;
    const before = this.instances.get(key)?.saidBye === true;
    this.instances.delete(key);
    this.instances.set(key, {
      generation,
      saidBye: saidBye ?? before,
      untilMs: nowMs + this.options.resumeWindowMs,
    });
    for (const [oldest, { untilMs }] of this.instances) {
      if (untilMs > nowMs && this.instances.size <= tunnelLimits.maxRemembered) return;
      this.instances.delete(oldest);
    }
  }
}

/** By its own word, because another took over, or because its stream ids are used up. */
function isLeaving({ leaving, saidBye, driver }: AgentSession): boolean {
  return leaving || saidBye || driver.session.leaving;
}

/** On a link that nothing is wrong with, of an agent that is known to have read WELCOME: else a stream could be nobody's. */
function takesStreams(session: AgentSession): boolean {
  return session.driver.isUp && session.driver.confirmed && !isLeaving(session);
}

/** Whether `one` will answer sooner than `other`: a round trip, and what is in flight before. */
function isQuicker(one: AgentSession, other: AgentSession): boolean {
  const gainMs = answerMs(other) - answerMs(one);
  if (Math.abs(gainMs) >= tunnelLimits.evenAnswerMs) return gainMs > 0;
  return one.driver.session.openStreams < other.driver.session.openStreams;
}

function answerMs({ driver }: AgentSession): number {
  const { unacknowledgedBytes, ledger } = driver.session;
  const { rate, roadMs } = ledger.flight;
  const ahead = Math.max(0, unacknowledgedBytes - limits.maxMessageBytes);
  return roadMs + (rate > 0 ? ahead / rate : 0);
}
