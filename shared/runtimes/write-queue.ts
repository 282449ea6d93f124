/** Writes below this are gathered while they wait: one system call and one buffer for many. */
const gatherBytes = 4_096;
const blockBytes = 16_384;

/** Bytes that the system did not accept at once, in order. A small rest is copied so that it pins no large buffer. */
export class WriteQueue {
  bytes = 0;
  #chunks: Uint8Array[] = [];
  #head = 0;
  /** The open end of the last chunk, where that is a block of our own. */
  #block: Uint8Array | undefined;
  #used = 0;

  /** Takes what stands in `bytes` after `from`; returns how much is queued now. */
  push(bytes: Uint8Array, from: number): number {
    const length = bytes.length - from;
    this.bytes += length;
    if (length > gatherBytes) {
      this.#block = undefined;
      const rest = from === 0 ? bytes : bytes.subarray(from);
      this.#chunks.push(length * 4 < bytes.buffer.byteLength ? rest.slice() : rest);
      return this.bytes;
    }
    const rest = from === 0 ? bytes : bytes.subarray(from);
    const last = this.#chunks.length - 1;
    if (this.#block !== undefined && last > this.#head && this.#used + length <= blockBytes) {
      this.#block.set(rest, this.#used);
      this.#used += length;
      this.#chunks[last] = this.#block.subarray(0, this.#used);
      return this.bytes;
    }
    // The first chunk is never grown: it may be half gone already.
    this.#block = last >= this.#head ? new Uint8Array(blockBytes) : undefined;
    this.#used = length;
    this.#block?.set(rest);
    this.#chunks.push(this.#block?.subarray(0, length) ?? rest.slice());
    return this.bytes;
  }

  get first(): Uint8Array | undefined {
    return this.#chunks[this.#head];
  }

  /** The first `length` bytes of `first` have gone. */
  drop(length: number): void {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined) return;
    this.bytes -= length;
    if (length < chunk.length) {
      this.#chunks[this.#head] = chunk.subarray(length);
      return;
    }
    if (++this.#head === this.#chunks.length) this.clear();
    else if (this.#head >= 64) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#head = 0;
    this.bytes = 0;
    this.#block = undefined;
  }
}
