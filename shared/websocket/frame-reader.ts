import { isCloseCode, maxControlBytes, maxHeaderBytes, opcodes } from "./frame.ts";
import { applyMask } from "./mask.ts";

/** Who is told what a `FrameReader` has read. It may call `stop` on the reader from inside. */
export interface FrameReaderHandler {
  /** A whole binary message, unmasked; the handler's to keep. Often a view into what was pushed. */
  message(bytes: Uint8Array): void;
  text(text: string): void;
  ping(payload: Uint8Array): void;
  pong(payload: Uint8Array): void;
  /** A valid close frame; 1005 where it named no code. Nothing comes after. */
  closeFrame(code: number, reason: string): void;
  /** The peer broke RFC 6455 or a limit: to be closed with `code`. Nothing comes after. */
  failed(code: 1002 | 1007 | 1009, reason: string): void;
}

export interface FrameReaderOptions {
  /** Frames come masked (from the dialling side) or not; the other kind is an error (section 5.1). */
  readonly masked: boolean;
  readonly maxMessageBytes: number;
  readonly maxTextBytes: number;
  /** Whether there is room for so many bytes of a message that comes in pieces. Absent: always. */
  readonly hasRoom?: (bytes: number) => boolean;
}

const empty = new Uint8Array(0);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Bytes of one direction of a WebSocket in, whole messages out. Pure. A frame that lies whole in what was pushed is
 * given as a view and unmasked in place; one that comes in pieces is put together in a buffer of its length.
 */
export class FrameReader {
  readonly #options: FrameReaderOptions;
  readonly #handler: FrameReaderHandler;
  #stopped = false;
  /** A header that was cut by the end of a chunk; made for the first. */
  #stash: Uint8Array | undefined;
  #stashed = 0;
  /** The frame being read. */
  #fin = false;
  #opcode = 0;
  #length = 0;
  #key = 0;
  /** Its payload so far, when it comes in pieces. */
  #payload: Uint8Array | undefined;
  #filled = 0;
  /** A message in fragments: its opcode (0: none is open), and its bytes so far. */
  #fragmentOpcode = 0;
  #fragments = empty;
  #fragmented = 0;

  constructor(options: FrameReaderOptions, handler: FrameReaderHandler) {
    this.#options = options;
    this.#handler = handler;
  }

  /** Of messages that have not come whole. */
  get heldBytes(): number {
    return (this.#payload?.length ?? 0) + this.#fragments.length;
  }

  /** Nothing is told any more. */
  stop(): void {
    this.#stopped = true;
    this.#payload = undefined;
    this.#fragments = empty;
  }

  /** Takes the next bytes, which become this reader's: they are unmasked in place. */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (!this.#stopped && at < bytes.length) {
      const payload = this.#payload;
      if (payload !== undefined) {
        const take = Math.min(bytes.length - at, payload.length - this.#filled);
        payload.set(bytes.subarray(at, at + take), this.#filled);
        this.#filled += take;
        at += take;
        if (this.#filled < payload.length) return;
        this.#payload = undefined;
        this.#take(payload);
        continue;
      }
      at = this.#header(bytes, at);
      if (at < 0 || this.#stopped) return;
      const end = at + this.#length;
      if (end <= bytes.length) {
        const whole = bytes.subarray(at, end);
        at = end;
        this.#take(whole);
      } else if (this.#isRoomFor(this.#length)) {
        this.#payload = new Uint8Array(this.#length);
        this.#filled = 0;
      }
    }
  }

  /** Reads a header at `at`; returns where it ends, or -1 when more bytes are needed. */
  #header(bytes: Uint8Array, at: number): number {
    if (this.#stashed === 0 && bytes.length - at >= 2) {
      const size = headerSize(bytes[at + 1] ?? 0);
      if (bytes.length - at >= size) {
        this.#parse(bytes, at, size);
        return at + size;
      }
    }
    this.#stash ??= new Uint8Array(maxHeaderBytes);
    const stash = this.#stash;
    while (at < bytes.length) {
      stash[this.#stashed++] = bytes[at++] ?? 0;
      if (this.#stashed < 2) continue;
      const size = headerSize(stash[1] ?? 0);
      if (this.#stashed < size) continue;
      this.#stashed = 0;
      this.#parse(stash, 0, size);
      return at;
    }
    return -1;
  }

  #parse(from: Uint8Array, at: number, size: number): void {
    const first = from[at] ?? 0;
    const second = from[at + 1] ?? 0;
    const opcode = first & 0x0f;
    const fin = (first & 0x80) !== 0;
    const masked = (second & 0x80) !== 0;
    const length = payloadLength(from, at, second & 0x7f);
    const broken = this.#brokenRule(first, masked, length);
    if (broken !== undefined) {
      this.#fail(1002, broken);
      return;
    }
    if (opcode < opcodes.close) {
      const text = (opcode === opcodes.continuation ? this.#fragmentOpcode : opcode) === opcodes.text;
      const most = text ? this.#options.maxTextBytes : this.#options.maxMessageBytes;
      if (length > most - this.#fragmented) {
        this.#fail(1009, "The message is too big.");
        return;
      }
    }
    this.#fin = fin;
    this.#opcode = opcode;
    this.#length = length;
    if (masked) {
      const key = at + size - 4;
      this.#key =
        (from[key] ?? 0) |
        ((from[key + 1] ?? 0) << 8) |
        ((from[key + 2] ?? 0) << 16) |
        ((from[key + 3] ?? 0) << 24);
    }
  }

  /** Which rule of RFC 6455 section 5 the header breaks, if any. */
  #brokenRule(first: number, masked: boolean, length: number): string | undefined {
    const opcode = first & 0x0f;
    if ((first & 0x70) !== 0) return "A reserved bit is set.";
    if (opcode > opcodes.pong || (opcode > opcodes.binary && opcode < opcodes.close))
      return "The opcode is reserved.";
    if (masked !== this.#options.masked) return masked ? "The frame is masked." : "The frame is not masked.";
    if (length < 0) return "The length is not in its shortest form.";
    if (opcode >= opcodes.close) {
      if ((first & 0x80) === 0) return "A control frame is fragmented.";
      return length > maxControlBytes ? "A control frame is too long." : undefined;
    }
    return (opcode === opcodes.continuation) === (this.#fragmentOpcode !== 0)
      ? undefined
      : "A fragment is out of order.";
  }

  #take(payload: Uint8Array): void {
    if (this.#options.masked) applyMask(payload, this.#key);
    const opcode = this.#opcode;
    if (opcode === opcodes.ping) this.#handler.ping(payload);
    else if (opcode === opcodes.pong) this.#handler.pong(payload);
    else if (opcode === opcodes.close) this.#close(payload);
    else if (opcode !== opcodes.continuation && this.#fin) this.#whole(opcode, payload);
    else this.#fragment(opcode, payload);
  }

  #fragment(opcode: number, payload: Uint8Array): void {
    if (opcode !== opcodes.continuation) this.#fragmentOpcode = opcode;
    const length = this.#fragmented + payload.length;
    if (length > this.#fragments.length) {
      // Copied, and grown by doubling: one-byte fragments must neither pin their chunks nor cost a copy of all each.
      const size = Math.min(length * 2, this.#options.maxMessageBytes);
      if (!this.#isRoomFor(size)) return;
      const grown = new Uint8Array(size);
      grown.set(this.#fragments.subarray(0, this.#fragmented));
      this.#fragments = grown;
    }
    this.#fragments.set(payload, this.#fragmented);
    this.#fragmented = length;
    if (!this.#fin) return;
    const message = this.#fragments.subarray(0, length);
    const kind = this.#fragmentOpcode;
    this.#fragments = empty;
    this.#fragmented = 0;
    this.#fragmentOpcode = 0;
    this.#whole(kind, message);
  }

  #whole(opcode: number, payload: Uint8Array): void {
    if (opcode === opcodes.binary) {
      this.#handler.message(payload);
      return;
    }
    const text = this.#decode(payload);
    if (text === undefined) this.#fail(1007, "The text is not UTF-8.");
    else this.#handler.text(text);
  }

  #close(payload: Uint8Array): void {
    const code = payload.length === 0 ? 1005 : ((payload[0] ?? 0) << 8) | (payload[1] ?? 0);
    const reason = this.#decode(payload.subarray(2));
    if (payload.length === 1 || (payload.length > 1 && !isCloseCode(code))) {
      this.#fail(1002, "The close code is not valid.");
    } else if (reason === undefined) {
      this.#fail(1007, "The close reason is not UTF-8.");
    } else {
      this.stop();
      this.#handler.closeFrame(code, reason);
    }
  }

  #decode(bytes: Uint8Array): string | undefined {
    try {
      return utf8.decode(bytes);
    } catch {
      // The only way in which the platform tells that it is not UTF-8.
      return undefined;
    }
  }

  /** Fails where there is none. */
  #isRoomFor(bytes: number): boolean {
    const { hasRoom } = this.#options;
    if (hasRoom === undefined || hasRoom(bytes)) return true;
    this.#fail(1009, "There is no room for the message.");
    return false;
  }

  #fail(code: 1002 | 1007 | 1009, reason: string): void {
    this.stop();
    this.#handler.failed(code, reason);
  }
}

/** Bytes of a header, told by its second byte. */
function headerSize(second: number): number {
  const short = second & 0x7f;
  return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + ((second & 0x80) === 0 ? 0 : 4);
}

/** -1 where it is not the shortest form that section 5.2 asks for, or above 2^53. */
function payloadLength(from: Uint8Array, at: number, short: number): number {
  if (short < 126) return short;
  const size = short === 126 ? 2 : 8;
  let length = 0;
  for (let i = at + 2; i < at + 2 + size; i++) length = length * 256 + (from[i] ?? 0);
  if (length < (size === 2 ? 126 : 65_536) || length >= 2 ** 63) return -1;
  return length;
}
