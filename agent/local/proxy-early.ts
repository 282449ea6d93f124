const firstBytes = 512;

/** What a program sends ahead of the answer that it must wait for, in one buffer: many small pieces weigh no more. */
export class EarlyBytes {
  length = 0;
  #buffer: Uint8Array = new Uint8Array(0);

  push(bytes: Uint8Array): void {
    const needed = this.length + bytes.length;
    if (needed > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2, firstBytes));
      larger.set(this.#buffer.subarray(0, this.length));
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.length);
    this.length = needed;
  }

  /** All of it; then it is empty. */
  take(): Uint8Array {
    const all = this.#buffer.subarray(0, this.length);
    this.#buffer = new Uint8Array(0);
    this.length = 0;
    return all;
  }
}
