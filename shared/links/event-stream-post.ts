import { eventStreamLimits as limits } from "./event-stream-limits.ts";

/** What a part of a POST's body is. */
export const PartType = { binary: 0, text: 1, close: 2 } as const;
export type PartType = (typeof PartType)[keyof typeof PartType];

/** One message, text or close on its way up. */
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

/** A request with `head` before its body of `parts`. */
export function encodePost(head: Uint8Array, parts: readonly Part[]): Uint8Array {
  let size = head.length;
  for (const { bytes } of parts) size += partHeaderBytes + bytes.length;
  const post = new Uint8Array(size);
  post.set(head);
  let at = head.length;
  for (const { type, bytes } of parts) {
    post[at] = type;
    post[at + 1] = bytes.length >> 16;
    post[at + 2] = bytes.length >> 8;
    post[at + 3] = bytes.length;
    post.set(bytes, at + partHeaderBytes);
    at += partHeaderBytes + bytes.length;
  }
  return post;
}

/** Who is told what a `PostReader` has read. */
export interface PostHandler {
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

/** Bytes of the bodies of a link's POSTs in, one after the other in their order; what they say out. Pure; never throws. */
export class PostReader {
  readonly #handler: PostHandler;
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #header = new Uint8Array(partHeaderBytes);
  #headerBytes = 0;
  /** The part being read, where it comes in pieces. */
  #payload: Uint8Array | undefined;
  #filled = 0;
  /** Parts of the body that is being read. */
  #parts = 0;
  #broken = false;

  constructor(handler: PostHandler) {
    this.#handler = handler;
  }

  /** Takes bytes of a body, which are this reader's from then on. Returns false where they break a rule. */
  push(bytes: Uint8Array): boolean {
    let at = 0;
    while (!this.#broken && at < bytes.length) {
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
        this.#broken = true;
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
    return !this.#broken;
  }

  /** The body has ended. Returns false where that breaks a rule: in the middle of a part, or before any. */
  end(): boolean {
    const isWhole = !this.#broken && this.#headerBytes === 0 && this.#parts > 0;
    this.#parts = 0;
    this.#broken = !isWhole;
    return isWhole;
  }

  #take(payload: Uint8Array): void {
    const type = this.#header[0];
    this.#payload = undefined;
    this.#headerBytes = 0;
    this.#parts++;
    if (type === PartType.binary) this.#handler.message(payload);
    else if (type === PartType.text) this.#handler.text(this.#utf8.decode(payload));
    else if (payload.length < 2) this.#broken = true;
    else
      this.#handler.close(
        ((payload[0] ?? 0) << 8) | (payload[1] ?? 0),
        this.#utf8.decode(payload.subarray(2)),
      );
  }
}
