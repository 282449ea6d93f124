import type { Code } from "./errors.ts";
import type { PipeEnd, PipeHandler } from "./pipe.ts";

export { SocketEnd } from "./pipe-ends/socket-end.ts";
export { StreamEnd } from "./pipe-ends/stream-end.ts";

/** What has gone through when it is over. `code` where the two directions did not both end in order. */
export interface SpliceEnd {
  /** Bytes from one to the other. */
  readonly forth: number;
  /** Bytes from the other to one. */
  readonly back: number;
  readonly code?: Code;
}

/**
 * Joins two ends to one pipe of bytes, each direction with its own end and its own back-pressure; what breaks at one is
 * broken at the other. Takes over the events of both. `done` is called once, never from inside `splice`: when both
 * directions have ended and nothing that was written waits here any more, or when it broke.
 */
export function splice(one: PipeEnd, other: PipeEnd, done: (end: SpliceEnd) => void): Splice {
  return new Splice(one, other, done);
}

/** A pipe under way. Made by `splice`. */
export class Splice {
  readonly #one: Side;
  readonly #other: Side;
  readonly #done: (end: SpliceEnd) => void;
  over = false;

  constructor(one: PipeEnd, other: PipeEnd, done: (end: SpliceEnd) => void) {
    this.#done = done;
    this.#one = new Side(this, one, other);
    this.#other = new Side(this, other, one);
    this.#one.opposite = this.#other;
    this.#other.opposite = this.#one;
    one.handler = this.#one;
    other.handler = this.#other;
  }

  /** Breaks both ends; `done` is told `code` before this returns. Idempotent. */
  abort(code: Code): void {
    if (this.over) return;
    this.#one.near.abort(code);
    this.broken(this.#one, code);
  }

  // What follows is called by the sides.

  /** `side` is gone already. */
  broken(side: Side, code: Code): void {
    if (this.over) return;
    this.over = true;
    side.far.abort(code);
    this.#done({ forth: this.#one.bytes, back: this.#other.bytes, code });
  }

  settle(): void {
    const one = this.#one;
    const other = this.#other;
    if (this.over || !one.hasEnded || !other.hasEnded || one.queued > 0 || other.queued > 0) return;
    this.over = true;
    this.#done({ forth: one.bytes, back: other.bytes });
  }
}

const nothing = new Uint8Array(0);

/** What one end tells: its bytes go to the far end, and what waits at it slows that. */
class Side implements PipeHandler {
  opposite: Side = this;
  /** That came from here. */
  bytes = 0;
  hasEnded = false;
  /** Written here and not gone yet. */
  queued = 0;

  constructor(
    private readonly pipe: Splice,
    readonly near: PipeEnd,
    readonly far: PipeEnd,
  ) {}

  data(bytes: Uint8Array): void {
    if (this.pipe.over) return;
    this.bytes += bytes.length;
    const queued = this.far.write(bytes);
    this.opposite.queued = queued;
    this.near.held(queued);
  }

  drained(queued: number): void {
    this.queued = queued;
    this.far.held(queued);
    if (queued === 0 && this.hasEnded) this.pipe.settle();
  }

  ended(): void {
    if (this.pipe.over) return;
    this.hasEnded = true;
    this.far.end();
    // Asks what still waits: gathered small writes counted as gone until the end sent them off.
    this.opposite.queued = this.far.write(nothing);
    this.pipe.settle();
  }

  aborted(code: Code): void {
    this.pipe.broken(this, code);
  }
}
