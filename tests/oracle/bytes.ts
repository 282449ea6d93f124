/** Reads integers off the front of a byte string, one after the other; every read past the end is an error of ours. */
export class Reader {
  private at = 0;
  constructor(private readonly bytes: Uint8Array) {}

  get left(): number {
    return this.bytes.length - this.at;
  }

  /** A big-endian unsigned integer of `width` bytes; a bigint, so that a u64 is exact. */
  integer(width: number): bigint {
    let value = 0n;
    for (const byte of this.take(width)) value = value * 256n + BigInt(byte);
    return value;
  }

  number(width: number): number {
    return Number(this.integer(width));
  }

  take(length: number): Uint8Array {
    if (length > this.left) throw new RangeError("the oracle reads past the end: check `left` first");
    this.at += length;
    return this.bytes.slice(this.at - length, this.at);
  }

  rest(): Uint8Array {
    return this.take(this.left);
  }
}

/** A big-endian unsigned integer of `width` bytes. */
export function integer(width: number, value: number | bigint): Uint8Array {
  const out = new Uint8Array(width);
  let left = BigInt(value);
  for (let at = width - 1; at >= 0; at--) {
    out[at] = Number(left % 256n);
    left /= 256n;
  }
  if (left !== 0n) throw new RangeError(`${value} does not fit ${width} bytes`);
  return out;
}

export function join(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function toHex(bytes: Uint8Array): string {
  return bytes.toHex();
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex);
}

export function toText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

export function fromText(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
