import type { Hello } from "../shared/handshake.ts";
import { type CallKind, callKinds, type SessionKind } from "../shared/kind.ts";
import type { AgentSession } from "./agent-session.ts";

/** Whose a session is, and which place of its agent it has. */
export type SessionPlace = Pick<AgentSession, "name" | "owner" | "kind" | "instance"> & Pick<Hello, "slot">;

/** How a session comes to its home. `given`: its generation where relays of a cluster agree on it. */
export interface ArrivalFacts {
  readonly join: boolean;
  readonly nowMs: number;
  readonly given?: GivenPlace | undefined;
}

/** What relays have agreed on for an agent: those whose generation is lower than `exclusive` have lost the name. */
export interface GivenPlace {
  readonly generation: number;
  readonly exclusive: number;
}

/** Where sessions of a sort are kept while they live: those that serve tunnels, and those that call (connect, via, egress, relay). */
export interface SessionHome {
  /** The session with this id, if it is held. */
  session(id: string): AgentSession | undefined;
  sessions(): Iterable<AgentSession>;
  /** The sessions of one instance of an agent. */
  siblings(of: Omit<SessionPlace, "slot">): AgentSession[];
  /** The latest attempt of the sessions that a fresh one in this place would end; its own must be later. 0: there is none. */
  lastAttempt(place: SessionPlace): number;
  /** Whether a newer instance has taken over from this one. */
  isSuperseded(name: string, instance: string, nowMs: number): boolean;
  /** Takes a session in, and gives it its generation; returns those that it supersedes, and those whose place it takes. */
  add(
    session: AgentSession,
    options: ArrivalFacts,
  ): { readonly superseded: AgentSession[]; readonly replaced: AgentSession[] };
  /** Takes a session in that was here before the relay slept; the instances before `exclusiveGeneration` have lost the name. */
  takeUp(
    session: AgentSession,
    options: { readonly exclusiveGeneration: number; readonly nowMs: number },
  ): void;
  /** The agent is leaving for good. */
  saidBye(session: AgentSession, nowMs: number): void;
  /** A session has a link that takes streams, or none any more, or one that is in doubt. */
  changed(session: AgentSession): void;
  /** A session is over. Idempotent. */
  remove(session: AgentSession, nowMs: number): void;
}

/** Of all links: what agents may have that call, as they need no tunnel of their own to dial. */
export const callingShare = 0.75;

export function isCalling(kind: SessionKind): kind is CallKind | "relay" {
  return kind === "relay" || (callKinds as readonly string[]).includes(kind);
}
