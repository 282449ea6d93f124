import { eventStreamLimits as limits } from "./event-stream-limits.ts";

/** What a part is: of a POST's body (PROTOCOL.md section 1.1), or of what a stream says of a link (section 9). */
export const PartType = { binary: 0, text: 1, close: 2 } as const;
export type PartType = (typeof PartType)[keyof typeof PartType];

/** One message, text or close of a link that has no messages of its own. */
export interface Part {
  readonly type: PartType;
  readonly bytes: Uint8Array;
}

export const partHeaderBytes = 4;

/** The code and the reason of a part of type close. */
export function closePart(code: number, reason: string): Part {
  const text = new TextEncoder().encode(reason).subarray(0, limits.maxCloseBytes - 2);
  const bytes = new Uint8Array(2 + text.length);
  bytes[0] = code >> 8;
  bytes[1] = code;
  bytes.set(text, 2);
  return { type: PartType.close, bytes };
}

/** Parts, with `head` before them. */
export function encodeParts(head: Uint8Array, parts: readonly Part[]): Uint8Array {
  let size = head.length;
  for (const { bytes } of parts) size += partHeaderBytes + bytes.length;
  const encoded = new Uint8Array(size);
  encoded.set(head);
  let at = head.length;
  for (const { type, bytes } of parts) at = writePart(encoded, at, type, bytes);
  return encoded;
}

/** One part, alone in a buffer of its own. */
export function encodePart(type: PartType, bytes: Uint8Array): Uint8Array {
  const encoded = new Uint8Array(partHeaderBytes + bytes.length);
  writePart(encoded, 0, type, bytes);
  return encoded;
}

function writePart(into: Uint8Array, at: number, type: PartType, bytes: Uint8Array): number {
  into[at] = type;
  into[at + 1] = bytes.length >> 16;
  into[at + 2] = bytes.length >> 8;
  into[at + 3] = bytes.length;
  into.set(bytes, at + partHeaderBytes);
  return at + partHeaderBytes + bytes.length;
}

/** Who is told what a `PartReader` has read. */
export interface PartHandler {
  /** A whole message, this handler's to keep. Often a view into what was pushed. */
  message(bytes: Uint8Array): void;
  text(text: string): void;
  close(code: number, reason: string): void;
}

const maxBytes: Readonly<Record<number, number>> = {
  [PartType.binary]: limits.maxMessageBytes,
  [PartType.text]: limits.maxTextBytes,
  [PartType.close]: limits.maxCloseBytes,
};

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bytes that are parts in, cut anywhere; what they say out. Keeps one message at most. Pure; never throws. */
export class PartReader {
  /** What broke a rule, as a WebSocket close code: 1009 what is too big, 1002 all else. Nothing is read after. */
  fault: 1002 | 1009 | undefined;
  readonly #handler: PartHandler;
  readonly #header = new Uint8Array(partHeaderBytes);
  #headerBytes = 0;
  /** The part being read, where it comes in pieces. */
  #payload: Uint8Array | undefined;
  #filled = 0;
  /** Since the last end. */
  #parts = 0;

  constructor(handler: PartHandler) {
    this.#handler = handler;
  }

  /** Takes bytes, which are this reader's from then on. Returns false where they break a rule. */
  push(bytes: Uint8Array): boolean {
    let at = 0;
    while (this.fault === undefined && at < bytes.length) {
      const payload = this.#payload;
      if (payload !== undefined) {
        const take = Math.min(bytes.length - at, payload.length - this.#filled);
        payload.set(bytes.subarray(at, at + take), this.#filled);
        this.#filled += take;
        at += take;
        if (this.#filled === payload.length) this.#take(payload);
        continue;
      }
      this.#header[this.#headerBytes++] = bytes[at++] ?? 0;
      if (this.#headerBytes < partHeaderBytes) continue;
      const [type = 0, high = 0, middle = 0, low = 0] = this.#header;
      const length = (high << 16) | (middle << 8) | low;
      const most = maxBytes[type];
      if (most === undefined || length > most) {
        this.fault = most === undefined ? 1002 : 1009;
        break;
      }
      const end = at + length;
      if (end <= bytes.length) {
        const whole = bytes.subarray(at, end);
        at = end;
        this.#take(whole);
      } else {
        this.#payload = new Uint8Array(length);
        this.#filled = 0;
      }
    }
    return this.fault === undefined;
  }

  /** A POST's body has ended. Returns false where that breaks a rule: in the middle of a part, or before any. */
  end(): boolean {
    if (this.#headerBytes > 0 || this.#parts === 0) this.fault ??= 1002;
    this.#parts = 0;
    return this.fault === undefined;
  }

  #take(payload: Uint8Array): void {
    const type = this.#header[0];
    this.#payload = undefined;
    this.#headerBytes = 0;
    this.#parts++;
    if (type === PartType.binary) this.#handler.message(payload);
    else if (type === PartType.text) this.#handler.text(utf8.decode(payload));
    else if (payload.length < 2) this.fault = 1002;
    else this.#handler.close(((payload[0] ?? 0) << 8) | (payload[1] ?? 0), utf8.decode(payload.subarray(2)));
  }
}
