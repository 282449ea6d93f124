import type { Memory } from "../shared/mux/memory.ts";
import type { AgentSession } from "./agent-session.ts";
import type { SessionHome, SessionPlace } from "./session-home.ts";
import type { Suspended } from "./suspended.ts";

/** So that one token can't take all links: a pool has two. */
const defaultMaxPerOwner = 1_024;

/** The sessions of agents that call: each stands for itself, and only its own agent replaces it. */
export class Callers implements SessionHome {
  private readonly byId = new Map<string, AgentSession>();
  /** By owner, kind, name and instance. */
  private readonly byInstance = new Map<string, Set<AgentSession>>();
  private readonly byOwner = new Map<string, Set<AgentSession>>();
  private lastGeneration = 0;

  constructor(
    private readonly suspended: Suspended,
    private readonly memory: Memory,
    private readonly maxPerOwner = defaultMaxPerOwner,
  ) {}

  /** Whether this subject has as many sessions as one may. */
  isFull(owner: string): boolean {
    return (this.byOwner.get(owner)?.size ?? 0) >= this.maxPerOwner;
  }

  /** Whether this subject has so many streams that the rest is for others: each of a call takes two windows here. */
  isHog(owner: string): boolean {
    let open = 0;
    for (const { driver } of this.byOwner.get(owner) ?? []) open += driver.session.openStreams;
    return this.memory.isHog(2 * open);
  }

  session(id: string): AgentSession | undefined {
    return this.byId.get(id);
  }

  sessions(): Iterable<AgentSession> {
    return this.byId.values();
  }

  siblings(of: Omit<SessionPlace, "slot">): AgentSession[] {
    return [...(this.byInstance.get(keyOf(of)) ?? [])];
  }

  lastAttempt(place: SessionPlace): number {
    let latest = 0;
    for (const { slot, attempt, leaving } of this.siblings(place))
      if (slot === place.slot && !leaving) latest = Math.max(latest, attempt);
    return latest;
  }

  isSuperseded(): boolean {
    return false;
  }

  add(session: AgentSession): { superseded: AgentSession[]; replaced: AgentSession[] } {
    const siblings = this.siblings(session);
    const replaced = siblings.filter(
      ({ slot, leaving, driver }) => slot === session.slot && !leaving && !driver.session.leaving,
    );
    for (const other of replaced) other.leaving = true;
    session.generation = siblings[0]?.generation ?? this.lastGeneration + 1;
    this.takeUp(session);
    return { superseded: [], replaced };
  }

  takeUp(session: AgentSession): void {
    this.lastGeneration = Math.max(this.lastGeneration, session.generation);
    this.byId.set(session.id, session);
    const key = keyOf(session);
    this.byInstance.set(key, (this.byInstance.get(key) ?? new Set()).add(session));
    this.byOwner.set(session.owner, (this.byOwner.get(session.owner) ?? new Set()).add(session));
  }

  saidBye(session: AgentSession): void {
    session.saidBye = true;
  }

  changed(session: AgentSession): void {
    this.suspended.changed(session);
  }

  remove(session: AgentSession): void {
    if (!this.byId.delete(session.id)) return;
    this.suspended.forget(session);
    forget(this.byInstance, keyOf(session), session);
    forget(this.byOwner, session.owner, session);
  }
}

function forget(from: Map<string, Set<AgentSession>>, key: string, session: AgentSession): void {
  const sessions = from.get(key);
  sessions?.delete(session);
  if (sessions?.size === 0) from.delete(key);
}

/** No part has a space but the owner, which is JSON and comes last. */
function keyOf({ owner, kind, name, instance }: Omit<SessionPlace, "slot">): string {
  return `${kind} ${name} ${instance} ${owner}`;
}
