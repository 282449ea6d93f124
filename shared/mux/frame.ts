import { limits } from "./limits.ts";

/** Added to the slot of a DOUBT (0 to 63): its link is slow, and nothing else is the matter with it. */
export const slowDoubt = 0x80;

/** Record types (PROTOCOL.md section 2). */
export const RecordType = {
  hello: 0x01,
  welcome: 0x02,
  ack: 0x03,
  credit: 0x04,
  goaway: 0x05,
  datagram: 0x06,
  doubt: 0x87,
  open: 0x41,
  head: 0x42,
  data: 0x43,
  end: 0x44,
  reset: 0x45,
  left: 0xc6,
} as const;

/** The type bit of records that belong to a stream. */
export const frameBit = 0x40;
/** The type bit of records that may be ignored where unknown. */
export const optionalBit = 0x80;
/** Type and length. */
export const recordHeaderBytes = 4;
/** Type, length and stream id. */
export const frameHeaderBytes = 8;

export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function readU24(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (((bytes[at] ?? 0) << 24) | readU24(bytes, at + 1)) >>> 0;
}

/** A u64 as a number; NaN when it is 2^53 or more, which no count or offset reaches. */
export function readCount(bytes: Uint8Array, at: number): number {
  const high = readU32(bytes, at);
  return high < 0x20_0000 ? high * 0x1_0000_0000 + readU32(bytes, at + 4) : Number.NaN;
}

/** Writes the records of one message into one buffer, which is allocated once. */
export class MessageWriter {
  private bytes: Uint8Array;
  length = 0;

  /** `expectedBytes`: what is waiting; the message is never larger than the limit. `spare`: a buffer of that size. */
  constructor(expectedBytes: number, spare?: Uint8Array) {
    this.bytes = spare ?? new Uint8Array(Math.min(limits.maxMessageBytes, expectedBytes));
  }

  /** Bytes that still fit. */
  get room(): number {
    return this.bytes.length - this.length;
  }

  ack(count: number): void {
    this.header(RecordType.ack, 8);
    this.count(count);
  }

  /** Begins a CREDIT record of `entries` entries; `creditEntry` follows that often. */
  credit(entries: number): void {
    this.header(RecordType.credit, entries * 12);
  }

  creditEntry(id: number, limit: number): void {
    this.u32(id);
    this.count(limit);
  }

  goaway(kind: number, code: number, lastId: number, graceMs: number, reason: Uint8Array): void {
    this.header(RecordType.goaway, 12 + reason.length);
    this.bytes[this.length++] = kind;
    this.bytes[this.length++] = 0;
    this.u16(code);
    this.u32(lastId);
    this.u32(graceMs);
    this.append(reason);
  }

  datagram(id: number, payload: Uint8Array): void {
    this.header(RecordType.datagram, 4 + payload.length);
    this.u32(id);
    this.append(payload);
  }

  /** `slot`: also with `slowDoubt`. */
  doubt(slot: number): void {
    this.header(RecordType.doubt, 1);
    this.bytes[this.length++] = slot;
  }

  open(id: number, kind: number, fields: Uint8Array): void {
    this.header(RecordType.open, 5 + fields.length);
    this.u32(id);
    this.bytes[this.length++] = kind;
    this.append(fields);
  }

  /** HEAD, DATA (`payload`) or END (none). */
  frame(type: number, id: number, payload?: Uint8Array): void {
    this.header(type, 4 + (payload === undefined ? 0 : payload.length));
    this.u32(id);
    if (payload !== undefined) this.append(payload);
  }

  reset(id: number, code: number): void {
    this.header(RecordType.reset, 6);
    this.u32(id);
    this.u16(code);
  }

  /** The message. A buffer that turned out far too large is not kept. */
  finish(): Uint8Array {
    if (this.length === this.bytes.length) return this.bytes;
    return this.length * 2 < this.bytes.length
      ? this.bytes.slice(0, this.length)
      : this.bytes.subarray(0, this.length);
  }

  private header(type: number, length: number): void {
    const { bytes } = this;
    let at = this.length;
    bytes[at++] = type;
    bytes[at++] = length >>> 16;
    bytes[at++] = length >>> 8;
    bytes[at++] = length;
    this.length = at;
  }

  private append(payload: Uint8Array): void {
    this.bytes.set(payload, this.length);
    this.length += payload.length;
  }

  private u16(value: number): void {
    this.bytes[this.length++] = value >>> 8;
    this.bytes[this.length++] = value;
  }

  private u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value);
  }

  private count(value: number): void {
    this.u32(Math.floor(value / 0x1_0000_0000));
    this.u32(value >>> 0);
  }
}
