import { randomBytes } from "node:crypto";

/** A prime: no piece that is sent twice or left out falls into step with it. */
const blockBytes = 1_000_003;
const block = randomBytes(blockBytes);

/** The bytes of body number `id` from `from` on, at most `length` of them; never none. Both ends of a test make them, and no two bodies begin alike. */
export function content(id: number, from: number, length: number): Buffer {
  const at = (id * 7_919 + from) % blockBytes;
  return block.subarray(at, Math.min(blockBytes, at + length));
}

/** Follows body number `id` as it comes: where it first differs from what was sent. */
export class ContentCheck {
  /** Bytes so far. */
  at = 0;
  /** The offset of the piece that is not what it should be. */
  wrongAt: number | undefined;

  constructor(readonly id: number) {}

  take(piece: Uint8Array): void {
    for (let from = 0; from < piece.length; ) {
      const wanted = content(this.id, this.at, piece.length - from);
      if (wanted.compare(piece, from, from + wanted.length) !== 0) this.wrongAt ??= this.at;
      from += wanted.length;
      this.at += wanted.length;
    }
  }
}
