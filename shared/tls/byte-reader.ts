const nothing = new Uint8Array(0);

/**
 * Takes a TLS structure apart (RFC 8446 section 3): numbers, and vectors with their length before them. Past the end
 * it gives zeros and nothing, and remembers that it `failed`, so that a reader checks once for several fields.
 */
export class ByteReader {
  failed = false;
  #at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  get left(): number {
    return this.bytes.length - this.#at;
  }

  u8(): number {
    return this.take(1)[0] ?? 0;
  }

  u16(): number {
    const two = this.take(2);
    return ((two[0] ?? 0) << 8) | (two[1] ?? 0);
  }

  /** A vector of at most 255 bytes. */
  vector8(): Uint8Array {
    return this.take(this.u8());
  }

  /** A vector of at most 65,535 bytes. */
  vector16(): Uint8Array {
    return this.take(this.u16());
  }

  take(length: number): Uint8Array {
    if (this.failed || length > this.left) {
      this.failed = true;
      return nothing;
    }
    this.#at += length;
    return this.bytes.subarray(this.#at - length, this.#at);
  }
}
