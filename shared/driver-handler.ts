import type { Code } from "./errors.ts";
import type { GoawayKind } from "./mux/session-handler.ts";
import type { Stream, StreamHandler } from "./mux/stream.ts";

/** What the owner of a session wants to know. */
export interface DriverHandler {
  opened(stream: Stream, fields: Uint8Array): StreamHandler | undefined;
  goaway(kind: GoawayKind, code: Code, graceMs: number, reason: string): void;
  /**
   * The session's link has become suspect, is itself again (`up`), or is gone (`lost`): then the session waits for
   * another until its resume window has passed. Not told of a link that `link` or `unlink` replaces.
   */
  linkState(state: "up" | "suspect" | "lost"): void;
  /** The link carries far less than it should, and another might do better. */
  linkSlow?(): void;
  /** The peer suspects the link in this slot of ours. */
  doubted(slot: number): void;
  /** The first message or text came on a link: it is good for something. */
  progress?(): void;
  /** false: the session is about to end, so that its link is to be watched even where it rests. */
  mayRest?(): boolean;
  /**
   * The session has come to rest on its link (or was heard there, and rests on), or begins to leave that. Where absent,
   * links are watched at rest, too.
   */
  rested?(resting: boolean): void;
  /** The session is over (its streams were reset) and its link, if any, is closing or gone. Exactly once. */
  over(code: Code): void;
}

export interface DriverOptions {
  /** This side asks for signs of life when nothing goes on (the agent). */
  readonly pingsWhenIdle: boolean;
  /** How long the session waits for another link, from the last byte that came. */
  readonly resumeWindowMs: number;
  /** Bytes a millisecond that links of the same road have carried at most of late. */
  readonly roadRate?: (() => number) | undefined;
}
