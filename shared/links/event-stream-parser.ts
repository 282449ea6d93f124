/** Who is told what an `EventStreamParser` has read. It may call `stop` from inside. */
export interface EventHandler {
  /** Something comes that is no comment; before its event, and once for all that was pushed together. */
  heard(): void;
  /** An event; `name` is "" where it has none. The data is the handler's, and may be a view of what was pushed. */
  event(name: string, data: Uint8Array): void;
  /** A line or an event is larger than may be. Nothing comes after. */
  fault(): void;
}

const LF = 10;
const CR = 13;
const COLON = 58;
const SPACE = 32;
const empty = new Uint8Array(0);
const decoder = new TextDecoder();
const latin1 = new TextDecoder("latin1");
const byteOrderMark = [0xef, 0xbb, 0xbf];

/**
 * Bytes of a `text/event-stream` in, events out (WHATWG HTML section 9.2.6), but for `id` and `retry`, which mean
 * nothing on a link. Pure, bounded, and never throws.
 */
export class EventStreamParser {
  readonly #handler: EventHandler;
  readonly #maxBytes: number;
  #stopped = false;
  #isFirstLine = true;
  /** The last line ended in CR: an LF that follows belongs to it. */
  #afterCr = false;
  /** A line that the end of a chunk has cut. */
  #line = empty;
  #lineBytes = 0;
  #name = "";
  #isTold = false;
  /** The data lines so far; undefined: none. */
  #data: Uint8Array | undefined;

  /** `maxBytes`: of a line, and of the data of an event. */
  constructor(handler: EventHandler, { maxBytes }: { readonly maxBytes: number }) {
    this.#handler = handler;
    this.#maxBytes = maxBytes;
  }

  /** Nothing is told any more. */
  stop(): void {
    this.#stopped = true;
    this.#line = empty;
    this.#data = undefined;
  }

  /** Takes the next bytes; they must not be changed after. */
  push(bytes: Uint8Array): void {
    let at = 0;
    this.#isTold = false;
    // Looked up again only once it is passed: our own relay sends no CR at all.
    let crAt = indexOf(bytes, CR, 0);
    while (!this.#stopped && at < bytes.length) {
      if (this.#afterCr) {
        this.#afterCr = false;
        if (bytes[at] === LF) {
          at++;
          continue;
        }
      }
      if (crAt < at) crAt = indexOf(bytes, CR, at);
      const end = Math.min(crAt, indexOf(bytes, LF, at));
      const part = bytes.subarray(at, end);
      if (part.length > 0 && (this.#lineBytes === 0 ? part[0] : this.#line[0]) !== COLON) this.#tell();
      if (this.#lineBytes + part.length > this.#maxBytes) {
        this.#fail();
        return;
      }
      if (end === bytes.length) {
        this.#keep(part);
        return;
      }
      this.#afterCr = end === crAt;
      at = end + 1;
      this.#takeLine(this.#whole(part));
    }
  }

  /** Keeps the beginning of a line. The room grows by doubling: pieces of a byte each must not cost a copy each. */
  #keep(part: Uint8Array): void {
    const size = this.#lineBytes + part.length;
    if (size > this.#line.length) {
      const larger = new Uint8Array(Math.max(64, size, Math.min(this.#maxBytes, size * 2)));
      larger.set(this.#line.subarray(0, this.#lineBytes));
      this.#line = larger;
    }
    this.#line.set(part, this.#lineBytes);
    this.#lineBytes = size;
  }

  #whole(part: Uint8Array): Uint8Array {
    if (this.#lineBytes === 0) return part;
    this.#keep(part);
    const line = this.#line.subarray(0, this.#lineBytes);
    this.#line = empty;
    this.#lineBytes = 0;
    return line;
  }

  #takeLine(whole: Uint8Array): void {
    const line = this.#isFirstLine ? withoutMark(whole) : whole;
    this.#isFirstLine = false;
    if (line.length === 0) {
      this.#dispatch();
      return;
    }
    const colon = indexOf(line, COLON, 0);
    // A comment.
    if (colon === 0) return;
    const from = line[colon + 1] === SPACE ? colon + 2 : colon + 1;
    const value = line.subarray(Math.min(from, line.length));
    const field = colon > 5 ? "" : latin1.decode(line.subarray(0, colon));
    if (field === "data") this.#append(value);
    else if (field === "event") this.#name = decoder.decode(value);
  }

  #append(value: Uint8Array): void {
    const data = this.#data;
    if (data === undefined) {
      this.#data = value;
      return;
    }
    if (data.length + 1 + value.length > this.#maxBytes) {
      this.#fail();
      return;
    }
    const joined = new Uint8Array(data.length + 1 + value.length);
    joined.set(data);
    joined[data.length] = LF;
    joined.set(value, data.length + 1);
    this.#data = joined;
  }

  #dispatch(): void {
    const data = this.#data;
    const name = this.#name;
    this.#data = undefined;
    this.#name = "";
    if (data === undefined) return;
    this.#tell();
    this.#handler.event(name, data);
  }

  #tell(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#handler.heard();
  }

  #fail(): void {
    this.stop();
    this.#handler.fault();
  }
}

function indexOf(bytes: Uint8Array, byte: number, from: number): number {
  const at = bytes.indexOf(byte, from);
  return at < 0 ? bytes.length : at;
}

function withoutMark(line: Uint8Array): Uint8Array {
  return byteOrderMark.every((byte, i) => line[i] === byte) ? line.subarray(3) : line;
}
