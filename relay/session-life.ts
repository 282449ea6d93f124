import type { Clock } from "../shared/clock.ts";
import type { DriverOptions } from "../shared/driver-handler.ts";
import type { Code } from "../shared/errors.ts";
import type { Link } from "../shared/link.ts";
import { slowDoubt } from "../shared/mux/frame.ts";
import { limits } from "../shared/mux/limits.ts";
import type { Memory } from "../shared/mux/memory.ts";
import { Session } from "../shared/mux/session.ts";
import type { SessionOptions } from "../shared/mux/session-handler.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import type { AgentSession } from "./agent-session.ts";
import type { Claims } from "./auth/claims.ts";
import type { Callers } from "./callers.ts";
import { LivingSession, type SessionWatcher } from "./living-session.ts";
import type { RelayLog } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { isCalling, type SessionHome } from "./session-home.ts";
import { type SessionFacts, type Sleep, type SleepingSession, sleepVersion } from "./sleep.ts";
import type { Tunnels } from "./tunnels.ts";

export interface SessionLifeDeps {
  readonly clock: Clock;
  readonly tunnels: Tunnels;
  readonly callers: Callers;
  /** Takes the streams that an agent opens. */
  readonly calls: (agent: AgentSession, stream: Stream, fields: Uint8Array) => StreamHandler;
  readonly metrics: Metrics;
  readonly memory: Memory;
  readonly log: RelayLog;
  /** How long a session waits for another link. */
  readonly resumeWindowMs: number;
  /** Where the platform puts the relay to sleep. */
  readonly sleep?: Sleep;
}

export const lifeLimits = {
  /** An agent that said goodbye has its grace, and what the last words take. */
  byeMarginMs: 2_000,
  maxByeGraceMs: 300_000,
  /** How long streams of a session that was superseded, or whose token has expired, may go on. */
  retireGraceMs: 30_000,
  /** A token's end is looked at again this often: timers know nothing of a clock that is set. */
  expiryStepMs: 86_400_000,
} as const;

/** Sessions of agents between their first link and their end, links or not: who must know of it, is told. */
export class SessionLife implements SessionWatcher {
  readonly rested: ((agent: AgentSession) => void) | undefined;
  private readonly driverOptions: DriverOptions;

  constructor(private readonly deps: SessionLifeDeps) {
    const { resumeWindowMs, sleep } = deps;
    this.driverOptions = { pingsWhenIdle: false, resumeWindowMs };
    if (sleep !== undefined) this.rested = (agent) => this.noteRest(agent);
  }

  home(kind: AgentSession["kind"]): SessionHome {
    return isCalling(kind) ? this.deps.callers : this.deps.tunnels;
  }

  /** The session with this id, if it is held. */
  held(id: string): AgentSession | undefined {
    return this.deps.tunnels.session(id) ?? this.deps.callers.session(id);
  }

  /** Makes a session, which has no link and no home yet. */
  make(
    facts: SessionFacts,
    options: Pick<SessionOptions, "peerWindow" | "peerStreams" | "tripMs" | "rest">,
  ): AgentSession {
    const { clock, memory } = this.deps;
    const windows = { window: limits.initialWindowBytes, streams: limits.maxStreams };
    const passesOn = facts.kind === "relay";
    const session = new Session({ side: "relay", ...windows, memory, passesOn, ...options }, clock.now());
    return new LivingSession(facts, session, clock, this, this.driverOptions);
  }

  /** A session has its first link: what hangs on others and on its token begins. */
  begun(agent: AgentSession): void {
    this.deps.metrics.sessions++;
    this.deps.metrics.tunnels = this.deps.tunnels.size;
    this.linked(agent, agent.claims);
    this.rememberOthers(agent.name);
  }

  /** A session has another link, of an agent with these claims. */
  linked(agent: AgentSession, claims: Claims): void {
    agent.claims = claims;
    agent.cancelExpiry?.();
    // A relay's token is for the dial alone: whoever has its key makes another.
    if (agent.kind !== "relay") agent.cancelExpiry = this.atExpiry(claims.expiresAtMs, agent);
    this.tellDoubts(agent);
    this.home(agent.kind).changed(agent);
    this.noteRest(agent);
  }

  /** Takes up a session that came to rest before the relay slept: on its link, or without one. */
  takeUp(state: SleepingSession, link: Link | undefined, gone: () => void): void {
    const { clock, metrics, tunnels } = this.deps;
    const { version: _, rest, heardAtMs, exclusiveGeneration, ...facts } = state;
    const { peerWindow, peerStreams, tripMs } = rest;
    const agent = this.make(facts, { peerWindow, peerStreams, tripMs, rest });
    this.home(agent.kind).takeUp(agent, { exclusiveGeneration, nowMs: clock.now() });
    metrics.sessions++;
    metrics.tunnels = tunnels.size;
    agent.driver.takeUp(link, gone, clock.now() - Math.max(0, clock.date() - heardAtMs));
    agent.cancelExpiry = this.atExpiry(agent.claims.expiresAtMs, agent);
    this.home(agent.kind).changed(agent);
  }

  /** No new streams; those that are open have their grace, on this link or another. */
  retire(agent: AgentSession, code: Code): void {
    const { retireGraceMs } = lifeLimits;
    agent.leaving = true;
    agent.driver.sayGoaway("drain", code, retireGraceMs);
    this.endWithin(agent, retireGraceMs, code);
    this.home(agent.kind).changed(agent);
    this.noteRest(agent);
  }

  // SessionWatcher

  opened(agent: AgentSession, stream: Stream, fields: Uint8Array): StreamHandler {
    return this.deps.calls(agent, stream, fields);
  }

  saidBye(agent: AgentSession, graceMs: number): void {
    const home = this.home(agent.kind);
    home.saidBye(agent, this.deps.clock.now());
    // They leave as well, each with its own goodbye; one that is lost on the way must not be waited for.
    for (const sibling of home.siblings(agent)) this.noteRest(sibling);
    const { maxByeGraceMs, byeMarginMs } = lifeLimits;
    this.endWithin(agent, Math.min(graceMs, maxByeGraceMs) + byeMarginMs, "goodbye");
  }

  linkState(agent: AgentSession, state: "up" | "suspect" | "lost"): void {
    const { session } = agent.driver;
    // Nobody comes back for a session that has said goodbye and is at rest.
    if (state === "lost" && agent.saidBye && session.resting) session.lost("goodbye");
    this.home(agent.kind).changed(agent);
    if (state === "suspect") this.tellDoubt(agent, agent.slot);
    this.noteRest(agent);
  }

  /** It is told over its own link, too: there may be no other. */
  linkSlow(agent: AgentSession): void {
    this.tellDoubt(agent, agent.slot + slowDoubt);
  }

  progress(agent: AgentSession): void {
    this.home(agent.kind).changed(agent);
  }

  over(agent: AgentSession, code: Code): void {
    const { tunnels, metrics, log, clock, sleep } = this.deps;
    agent.cancelExpiry?.();
    agent.cancelGrace?.();
    metrics.sessions--;
    this.home(agent.kind).remove(agent, clock.now());
    metrics.tunnels = tunnels.size;
    this.rememberOthers(agent.name);
    sleep?.forget(agent.id);
    sleep?.rests(agent);
    log.write({ event: "agent", name: agent.name, kind: agent.kind, state: "gone", code });
  }

  /** It ends in `graceMs`, unless it does before. */
  private endWithin(agent: AgentSession, graceMs: number, code: Code): void {
    const { clock } = this.deps;
    const untilMs = clock.now() + graceMs;
    if (untilMs >= agent.graceUntilMs) return;
    agent.graceUntilMs = untilMs;
    agent.cancelGrace?.();
    agent.cancelGrace = clock.at(untilMs, () => agent.driver.close(code));
  }

  private atExpiry(expiresAtMs: number, agent: AgentSession): () => void {
    const { clock } = this.deps;
    const leftMs = expiresAtMs - clock.date();
    // At the same moments whenever it begins: an alarm that does not change is not written anew.
    const { expiryStepMs } = lifeLimits;
    const stepMs = leftMs > expiryStepMs ? leftMs % expiryStepMs || expiryStepMs : Math.max(leftMs, 0);
    let cancel = clock.at(clock.now() + stepMs, () => {
      if (leftMs > stepMs) cancel = this.atExpiry(expiresAtMs, agent);
      else this.retire(agent, "token-expired");
    });
    return () => cancel();
  }

  // Doubts

  /** Only the agent can dial: it is told over another of its sessions. */
  private tellDoubt(agent: AgentSession, slot: number): void {
    for (const { driver } of this.home(agent.kind).siblings(agent))
      if (driver.isUp) driver.session.doubt(slot);
  }

  /** A session has a link: its siblings may have lost theirs without the agent's knowing. */
  private tellDoubts(agent: AgentSession): void {
    for (const sibling of this.home(agent.kind).siblings(agent))
      if (!sibling.driver.isUp) agent.driver.session.doubt(sibling.slot);
  }

  // Sleep

  /** What is kept of the session is put right: all of it while it is at rest, nothing while it is not. */
  private noteRest(agent: AgentSession): void {
    const { sleep } = this.deps;
    const { driver } = agent;
    if (sleep === undefined || driver.session.over) return;
    driver.noteRest();
    const wanted = this.asleep(agent);
    // An event link is watched as on any relay: it keeps the object awake anyway.
    const state = driver.attach(wanted) ? wanted : undefined;
    if (state !== undefined && !driver.hasLink) sleep.keep(state);
    else sleep.forget(agent.id);
    if (state === undefined) sleep.stirs(agent);
    else sleep.rests(agent);
  }

  private asleep(agent: AgentSession): SleepingSession | undefined {
    const { clock, tunnels } = this.deps;
    const { driver, leaving, saidBye, name, kind } = agent;
    const { rest } = driver.session;
    if (rest === undefined || !driver.isResting || leaving || saidBye) return undefined;
    const { id, secret, offersEgress, owner, instance, slot, claims, attempt, generation } = agent;
    return {
      version: sleepVersion,
      ...{ id, secret, name, kind, offersEgress, owner, instance, slot, claims, attempt, generation, rest },
      heardAtMs: clock.date() - (clock.now() - driver.heardMs),
      exclusiveGeneration: isCalling(kind) ? 0 : tunnels.exclusiveGeneration(name),
    };
  }

  /** Who was here lately and who may not take over is known to this process alone: as long as it matters, it stays awake. */
  private rememberOthers(name: string): void {
    const { sleep, tunnels, clock } = this.deps;
    const untilMs = sleep === undefined ? 0 : tunnels.remembersUntil(name);
    if (sleep === undefined || untilMs <= clock.now()) return;
    const memory = {};
    sleep.stirs(memory);
    clock.at(untilMs, () => sleep.rests(memory));
  }
}
