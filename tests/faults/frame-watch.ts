import type { Range } from "./faulty-pipe.ts";

const binary = 2;
const frameBit = 0x40;
const recordHeadBytes = 4;
/** Ranges that lie so far back can't be under way any more: a pipe holds far less. */
const keptBytes = 8 * 1024 * 1024;
const maxRanges = 8_192;

type Reading = "http head" | "frame head" | "record head" | "record" | "skipped";

/**
 * Follows one direction of a link as the bytes pass (the HTTP head of its dial, RFC 6455 messages, records) and
 * remembers where the frames lay, so that a cut can tell whether it lost bytes of a stream or only of the link's own
 * business. It keeps no content.
 */
export class FrameWatch {
  /** The number of frames so far, of any stream. */
  frames = 0;
  /** When the last of them began, by `performance.now()`. */
  lastFrameAtMs = Number.NEGATIVE_INFINITY;
  #reading: Reading = "http head";
  #offset = 0;
  #head: number[] = [];
  /** Of the message: what is left, the masking key, and how far into its payload we are. */
  #left = 0;
  #key: readonly number[] = [0, 0, 0, 0];
  #at = 0;
  #binary = false;
  /** Of the record. */
  #recordLeft = 0;
  #ranges: Range[] = [];

  /** The next bytes of this direction, all of them and in order. */
  push(bytes: Uint8Array): void {
    let i = 0;
    while (i < bytes.length) {
      if (this.#reading === "skipped") {
        this.#offset += bytes.length - i;
        return;
      }
      if (this.#reading === "record") {
        const length = Math.min(this.#recordLeft, bytes.length - i);
        i += length;
        this.#pass(length);
        this.#recordLeft -= length;
        if (this.#recordLeft === 0) this.#next();
        continue;
      }
      this.#byte(bytes[i++] ?? 0);
    }
  }

  /** Whether any byte of `range` (offsets of this direction) belongs to a frame. */
  hasFrame(range: Range): boolean {
    return range.to > range.from && this.#ranges.some(({ from, to }) => from < range.to && to > range.from);
  }

  #byte(byte: number): void {
    this.#head.push(this.#reading === "record head" ? byte ^ (this.#key[this.#at & 3] ?? 0) : byte);
    if (this.#reading === "record head") this.#pass(1);
    else this.#offset++;
    if (this.#reading === "http head") this.#httpHead();
    else if (this.#reading === "frame head") this.#frameHead();
    else this.#recordHead();
  }

  #httpHead(): void {
    const [a, b, c, d] = this.#head.slice(-4);
    if (a !== 13 || b !== 10 || c !== 13 || d !== 10) return;
    const start = String.fromCharCode(...this.#head.slice(0, 12));
    // An answer that is no 101, or a call that is no dial: not a link.
    this.#reading = start.startsWith("GET ") || start === "HTTP/1.1 101" ? "frame head" : "skipped";
    this.#head = [];
  }

  #frameHead(): void {
    const head = this.#head;
    if (head.length < 2) return;
    const [first = 0, second = 0] = head;
    const short = second & 127;
    const size = short < 126 ? 0 : short === 126 ? 2 : 8;
    const masked = (second & 128) !== 0;
    if (head.length < 2 + size + (masked ? 4 : 0)) return;
    this.#left = size === 0 ? short : head.slice(2, 2 + size).reduce((sum, byte) => sum * 256 + byte, 0);
    this.#key = masked ? head.slice(2 + size) : [0, 0, 0, 0];
    this.#at = 0;
    this.#binary = (first & 15) === binary;
    this.#head = [];
    this.#next();
  }

  #recordHead(): void {
    if (this.#head.length < recordHeadBytes) {
      if (this.#left === 0) this.#next();
      return;
    }
    const [type = 0, a = 0, b = 0, c = 0] = this.#head;
    this.#head = [];
    const length = Math.min((a << 16) | (b << 8) | c, this.#left);
    if ((type & frameBit) !== 0) {
      this.frames++;
      this.lastFrameAtMs = performance.now();
      this.#ranges.push({ from: this.#offset - recordHeadBytes, to: this.#offset + length });
      if (this.#ranges.length > maxRanges)
        this.#ranges = this.#ranges.filter(({ to }) => to > this.#offset - keptBytes).slice(-maxRanges / 2);
    }
    this.#recordLeft = length;
    this.#reading = "record";
    if (length === 0) this.#next();
  }

  /** What comes after a record, or after a message's head. */
  #next(): void {
    this.#head = [];
    if (this.#left === 0) this.#reading = "frame head";
    else if (this.#binary) this.#reading = "record head";
    else {
      // A text, a ping: no records in it.
      this.#recordLeft = this.#left;
      this.#reading = "record";
    }
  }

  #pass(bytes: number): void {
    this.#offset += bytes;
    this.#left -= bytes;
    this.#at += bytes;
  }
}
