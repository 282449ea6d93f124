import type { Code } from "./errors.ts";

/** What an end of a pipe tells. Nothing comes after `aborted`; `ended` comes at most once. */
export interface PipeHandler {
  /** Bytes came. They are this handler's to keep; `PipeEnd.held` tells when they have left. */
  data(bytes: Uint8Array): void;
  /** Some of what was written has left: `queued` bytes still weigh. */
  drained(queued: number): void;
  /** The far side sends no more; it still reads. */
  ended(): void;
  /** Both directions are over before both had ended: the far side broke off, or there is none. */
  aborted(code: Code): void;
}

/**
 * One end of a pipe of bytes, be it a socket or a stream of a session: two of them make a splice (shared/splice.ts). Each
 * direction has its own end and its own back-pressure.
 */
export interface PipeEnd {
  /** Who hears of it; set at once by whoever gets the end. */
  handler: PipeHandler;
  /** Takes all of `bytes`, which are this end's then: nobody looks at them any more. Returns how many written bytes weigh now: above 0, `drained` follows. */
  write(bytes: Uint8Array): number;
  /** Half-close after what was written. Idempotent. */
  end(): void;
  /** Ends both directions now, so that the far side can tell it from an end (RST, RESET). Idempotent; `aborted` is not called. */
  abort(code: Code): void;
  /** So many of the bytes that came from here still wait at the other end. Slows the far side in time. */
  held(bytes: number): void;
}
