import type { SessionRest } from "../shared/mux/rest.ts";
import type { AgentSession } from "./agent-session.ts";

/** What a session is known by, and what it may, whether it has a driver or sleeps. */
export type SessionFacts = Pick<
  AgentSession,
  | "id"
  | "secret"
  | "name"
  | "kind"
  | "offersEgress"
  | "owner"
  | "instance"
  | "slot"
  | "claims"
  | "attempt"
  | "generation"
>;

/** To be raised with each change of what is kept: a newer deployment may find what an older one has kept. */
export const sleepVersion = 1;

/** What of a session at rest is kept while its relay sleeps, so that it goes on where it was. Plain data. */
export interface SleepingSession extends SessionFacts {
  readonly version: typeof sleepVersion;
  readonly rest: SessionRest;
  /** The date of the last byte that came. */
  readonly heardAtMs: number;
  /** The instances before this generation have lost the name. */
  readonly exclusiveGeneration: number;
}

/**
 * Of a relay that the platform puts to sleep, memory and all, when nothing goes on (a Durable Object). Sessions at rest
 * are kept with their links (`Link.attach`), or here while they have none.
 */
export interface Sleep {
  /** `who` has something under way that would be lost: no sleep before `rests`. */
  stirs(who: object): void;
  rests(who: object): void;
  /** Keeps a session that has no link. */
  keep(session: SleepingSession): void;
  /** It has a link again, or is over, or not at rest. Idempotent. */
  forget(id: string): void;
}
