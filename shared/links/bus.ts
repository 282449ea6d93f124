import type { Bus } from "../bus.ts";
import type { Clock } from "../clock.ts";
import { deafLinkHandler, type Link, type LinkHandler } from "../link.ts";

/** The first byte of each message of a link (PROTOCOL.md section 9.1). */
const types = { binary: 0, text: 1, close: 2 } as const;

const headBytes = 5;

const limits = {
  /** PROTOCOL.md section 2. */
  maxMessageBytes: 65_536,
  /** Liveness texts are far shorter. */
  maxTextBytes: 1_024,
  /** RFC 6455 section 5.5, less the code. */
  maxReasonBytes: 123,
  /** The bus is asked to tell when it has what was published, once so much was since the last time. */
  flushBytes: 65_536,
  /** A close is said, and then not waited for longer. */
  closeTimeoutMs: 2_000,
} as const;

export interface BusLinkOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  /** Subjects: what this end publishes on, and what it hears. */
  readonly out: string;
  readonly in: string;
}

/**
 * A link over two subjects of a bus, one each way. The bus has no back-pressure, and drops what it can't carry: what the
 * session lets be in flight bounds what is under way, and a message that is missing ends the link.
 */
export class BusLink implements Link {
  handler: LinkHandler = deafLinkHandler;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #out: string;
  readonly #stopHearing: () => void;
  readonly #stopWatching: () => void;
  #state: "open" | "closing" | "closed" = "open";
  /** Of the last message each way; u32, and begins again. */
  #sent = 0;
  #received = 0;
  #publishedBytes = 0;
  /** Of these the bus was asked, and has told. */
  #askedBytes = 0;
  #flushedBytes = 0;
  #cancelTimeout: () => void = () => {};

  constructor({ bus, clock, out, in: subject }: BusLinkOptions) {
    this.#bus = bus;
    this.#clock = clock;
    this.#out = out;
    this.#stopHearing = bus.subscribe(subject, ({ bytes }) => this.#takes(bytes));
    this.#stopWatching = bus.watch((is) => {
      if (!is) this.#finish(1006, "");
    });
  }

  /** Less than 64 KiB are not asked about, and count as gone. */
  get queued(): number {
    return this.#askedBytes === this.#flushedBytes ? 0 : this.#publishedBytes - this.#flushedBytes;
  }

  send(message: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#publish(types.binary, message);
    this.#publishedBytes += message.length;
    if (this.#publishedBytes - this.#askedBytes >= limits.flushBytes) this.#flush();
  }

  sendText(text: string): void {
    if (this.#state === "open") this.#publish(types.text, new TextEncoder().encode(text));
  }

  close(code: number, reason: string): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#publishClose(code, reason);
    const end = (): void => this.#finish(code, reason);
    this.#cancelTimeout = this.#clock.at(this.#clock.now() + limits.closeTimeoutMs, end);
    this.#bus.flushed().then(end, () => this.#finish(1006, ""));
  }

  destroy(): void {
    if (this.#state === "closed") return;
    // The other end is told as well as can be: by TCP it would be, too.
    if (this.#state === "open") this.#publishClose(1006, "");
    this.#state = "closing";
    this.#stopHearing();
    this.#clock.soon(() => this.#finish(1006, ""));
  }

  #takes(bytes: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#received = (this.#received + 1) >>> 0;
    const payload = bytes.subarray(headBytes);
    if (bytes.length < headBytes || sequenceOf(bytes) !== this.#received) {
      this.#break(1006, "");
      return;
    }
    this.handler.heard();
    switch (bytes[0]) {
      case types.binary:
        if (payload.length > limits.maxMessageBytes) this.#break(1009, "The message is too big.");
        else this.handler.message(payload);
        break;
      case types.text:
        if (payload.length > limits.maxTextBytes) this.#break(1009, "The message is too big.");
        else this.handler.text(new TextDecoder().decode(payload));
        break;
      case types.close:
        this.#finish(closeCode(payload), new TextDecoder().decode(payload.subarray(2)));
        break;
      default:
        this.#break(1002, "The message is of no type.");
    }
  }

  #publish(type: number, payload: Uint8Array): void {
    this.#sent = (this.#sent + 1) >>> 0;
    const bytes = new Uint8Array(headBytes + payload.length);
    bytes[0] = type;
    for (let i = 1; i < headBytes; i++) bytes[i] = this.#sent >>> (8 * (headBytes - 1 - i));
    bytes.set(payload, headBytes);
    this.#bus.publish(this.#out, bytes);
  }

  #publishClose(code: number, reason: string): void {
    const text = new TextEncoder().encode(reason).subarray(0, limits.maxReasonBytes);
    this.#publish(types.close, new Uint8Array([code >>> 8, code, ...text]));
  }

  #flush(): void {
    const asked = this.#publishedBytes;
    this.#askedBytes = asked;
    this.#bus.flushed().then(
      () => {
        if (this.#state === "closed") return;
        this.#flushedBytes = Math.max(this.#flushedBytes, asked);
        this.handler.drained();
      },
      () => this.#finish(1006, ""),
    );
  }

  /** Ends it for what the other end did, or what got lost, and tells it so. */
  #break(code: number, reason: string): void {
    this.#publishClose(code, reason);
    this.#finish(code, reason);
  }

  #finish(code: number, reason: string): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#cancelTimeout();
    this.#stopHearing();
    this.#stopWatching();
    this.#flushedBytes = this.#askedBytes;
    this.handler.closed(code, reason);
  }
}

function sequenceOf(bytes: Uint8Array): number {
  let sequence = 0;
  for (let i = 1; i < headBytes; i++) sequence = (sequence << 8) | (bytes[i] ?? 0);
  return sequence >>> 0;
}

function closeCode(payload: Uint8Array): number {
  return payload.length < 2 ? 1006 : ((payload[0] ?? 0) << 8) | (payload[1] ?? 0);
}
