import { createHash } from "node:crypto";

const multiplier = 1_664_525;
const increment = 1_013_904_223;

/** Bytes without end that two processes can make alike: no part of them repeats where a shifted one would fit. */
export class Pattern {
  #state = 1;

  /** The next `length` bytes; a multiple of 4 but for the last. */
  next(length: number): Uint8Array {
    const words = new Uint32Array(Math.ceil(length / 4));
    for (let i = 0; i < words.length; i++)
      words[i] = this.#state = (Math.imul(this.#state, multiplier) + increment) >>> 0;
    return new Uint8Array(words.buffer, 0, length);
  }

  /** Of the first `length` bytes. */
  static sha256(length: number): string {
    const pattern = new Pattern();
    const hash = createHash("sha256");
    for (let left = length; left > 0; left -= 65_536) hash.update(pattern.next(Math.min(left, 65_536)));
    return hash.digest("hex");
  }
}
