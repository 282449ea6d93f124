const limits = {
  /** The first block: most that waits is a few acknowledgements. */
  firstBlockBytes: 1_024,
  /** A message that is cut out of a block keeps all of it. */
  maxBlockBytes: 65_536,
  /** Pieces from this on are kept as they came, if they are so much of their buffer. */
  copyBelowBytes: 32_768,
  keptShare: 0.75,
} as const;

/** Bytes that wait, in the order in which they came. Small pieces are gathered: each by itself would cost a hundred times what it holds. */
export class KeptBytes {
  #blocks: Uint8Array[] = [];
  /** Bytes of the last block that are free. */
  #room = 0;

  push(bytes: Uint8Array): void {
    const last = this.#blocks.at(-1);
    const fits = Math.min(this.#room, bytes.length);
    if (fits > 0) {
      last?.set(bytes.subarray(0, fits), last.length - this.#room);
      this.#room -= fits;
    }
    const rest = bytes.subarray(fits);
    if (rest.length === 0) return;
    if (rest.length >= limits.copyBelowBytes && rest.length >= rest.buffer.byteLength * limits.keptShare) {
      this.#blocks.push(rest);
      return;
    }
    const twice = Math.min(limits.maxBlockBytes, (last?.length ?? 0) * 2);
    const block = new Uint8Array(Math.max(limits.firstBlockBytes, twice, rest.length));
    block.set(rest);
    this.#blocks.push(block);
    this.#room = block.length - rest.length;
  }

  /** Gives them away. */
  take(): Uint8Array[] {
    const blocks = this.#blocks;
    const last = blocks.pop();
    if (last !== undefined) blocks.push(last.subarray(0, last.length - this.#room));
    this.#blocks = [];
    this.#room = 0;
    return blocks;
  }
}
