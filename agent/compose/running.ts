import type { UnderpassError } from "../../shared/errors.ts";

/** What a command runs as, put together: an agent with its origin, several of them, or a listener of this machine. */
export interface Running {
  /** Begins. Call once. */
  start(): void;
  /** Resolves when it has ended: with what ended it, or with undefined after `stop`. Never rejects. */
  readonly ended: Promise<UnderpassError | undefined>;
  /** Exchanges that are open now. */
  readonly openStreams: number;
  /** Ends all exchanges now, and says so to the relay. */
  abandon(): void;
  /** Lets open exchanges finish for `graceMs`, and closes all. Idempotent; resolves when it is done. */
  stop(graceMs: number): Promise<void>;
}
