import type { Clock } from "../clock.ts";
import { deafLinkHandler, type Link, type LinkHandler } from "../link.ts";
import type { Socket, SocketHandler } from "../socket.ts";
import { closePayload, encodeFrame, maxHeaderBytes, type Opcode, opcodes } from "../websocket/frame.ts";
import { FrameReader, type FrameReaderHandler, type FrameReaderOptions } from "../websocket/frame-reader.ts";

export interface WebSocketLinkOptions {
  /** The agent dialled, so its frames are masked (RFC 6455 section 5.3); the relay's are not. */
  readonly role: "agent" | "relay";
  readonly clock: Clock;
  /** What came behind the opening handshake already. */
  readonly early?: Uint8Array;
  /** Fills an array with random bits; for tests. */
  readonly random?: (into: Uint32Array<ArrayBuffer>) => void;
}

const limits = {
  /** PROTOCOL.md section 2. */
  maxMessageBytes: 65_536,
  /** Liveness texts are far shorter. */
  maxTextBytes: 1_024,
  /** Sockets gather smaller writes and keep them for a moment. */
  reuseFromBytes: 32_768,
  /** A peer that neither answers a close nor reads what is queued is dropped after this. */
  closeTimeoutMs: 2_000,
  /** A peer that pings and does not read gets no more pongs above this. */
  maxQueuedForPongBytes: 65_536,
} as const;

const { maxMessageBytes, maxTextBytes } = limits;
const readers: Readonly<Record<WebSocketLinkOptions["role"], FrameReaderOptions>> = {
  agent: { masked: false, maxMessageBytes, maxTextBytes },
  relay: { masked: true, maxMessageBytes, maxTextBytes },
};
const encoder = new TextEncoder();

/**
 * A link over a WebSocket whose opening handshake is done. It is its own handler of the socket and of the reader: thousands
 * of idle links weigh, and a closure for each event took 0.7 KiB of each (measured).
 */
export class WebSocketLink implements Link, SocketHandler, FrameReaderHandler {
  readonly transport = "ws";
  handler: LinkHandler = deafLinkHandler;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #reader: FrameReader;
  readonly #keys: MaskingKeys | undefined;
  #early: Uint8Array | undefined;
  /** For the next large frame: a fresh 64 KiB each time would be zeroed, and its pages faulted in, for nothing. */
  #room: Uint8Array | undefined;
  #cancelTimeout: (() => void) | undefined;
  #state: "open" | "closing" | "closed" = "open";
  /** What `closed` will say. */
  #code = 1006;
  #reason = "";

  constructor(socket: Socket, options: WebSocketLinkOptions) {
    this.#socket = socket;
    this.#clock = options.clock;
    const { role } = options;
    this.#keys = role === "agent" ? new MaskingKeys(options.random ?? fillRandom) : undefined;
    this.#reader = new FrameReader(readers[role], this);
    socket.handler = this;
    if (options.early !== undefined && options.early.length > 0) {
      this.#early = options.early;
      options.clock.soon(() => this.#pushEarly());
    }
  }

  get queued(): number {
    return this.#socket.queued;
  }

  send(message: Uint8Array): void {
    if (this.#state === "open") this.#write(opcodes.binary, message);
  }

  sendText(text: string): void {
    if (this.#state === "open") this.#write(opcodes.text, encoder.encode(text));
  }

  close(code: number, reason: string): void {
    if (this.#state === "open") this.#startClosing(code, reason);
  }

  destroy(): void {
    if (this.#state === "closed") return;
    this.#state = "closing";
    this.#reader.stop();
    this.#early = undefined;
    this.#socket.destroy();
  }

  // SocketHandler

  data(bytes: Uint8Array): void {
    if (this.#early !== undefined) this.#pushEarly();
    if (this.#state === "open") this.handler.heard();
    this.#reader.push(bytes);
  }

  drained(): void {
    if (this.#state === "open") this.handler.drained();
  }

  ended(): void {
    if (this.#early !== undefined) this.#pushEarly();
    // Without a close frame of either side before it, the pipe broke.
    if (this.#state === "open") this.destroy();
    else this.#socket.end();
  }

  closed(): void {
    if (this.#early !== undefined) this.#pushEarly();
    this.#state = "closed";
    this.#reader.stop();
    this.#cancelTimeout?.();
    this.handler.closed(this.#code, this.#reason);
  }

  // FrameReaderHandler

  message(bytes: Uint8Array): void {
    if (this.#state === "open") this.handler.message(bytes);
  }

  text(text: string): void {
    if (this.#state === "open") this.handler.text(text);
  }

  ping(payload: Uint8Array): void {
    if (this.#state === "open" && this.#socket.queued <= limits.maxQueuedForPongBytes)
      this.#write(opcodes.pong, payload);
  }

  pong(): void {}

  /** The peer closes, or answers our close. */
  closeFrame(code: number, reason: string): void {
    this.#code = code;
    this.#reason = reason;
    if (this.#state === "open") this.#startClosing(code, "");
    this.#socket.end();
  }

  failed(code: number, reason: string): void {
    this.#code = code;
    this.#reason = reason;
    if (this.#state === "open") this.#startClosing(code, reason);
    this.#socket.end();
  }

  /**
   * Header and payload leave as one piece on both sides. For the relay, which does not mask, two writes would save a
   * copy: 64 KiB copied take 2.3 us, and between two processes both ways gave 1.9 to 2.3 GB/s.
   */
  #write(opcode: Opcode, payload: Uint8Array): void {
    const key = this.#keys?.next();
    if (payload.length < limits.reuseFromBytes) {
      this.#socket.write(encodeFrame(opcode, payload, key));
      return;
    }
    const room = this.#room ?? new Uint8Array(limits.maxMessageBytes + maxHeaderBytes);
    const queued = this.#socket.write(encodeFrame(opcode, payload, key, room));
    // What is queued still lies in it.
    this.#room = queued === 0 ? room : undefined;
  }

  #startClosing(code: number, reason: string): void {
    this.#state = "closing";
    this.#write(opcodes.close, closePayload(code, reason));
    this.#cancelTimeout = this.#clock.at(this.#clock.now() + limits.closeTimeoutMs, () => this.destroy());
  }

  #pushEarly(): void {
    const early = this.#early;
    this.#early = undefined;
    if (early === undefined) return;
    if (this.#state === "open") this.handler.heard();
    this.#reader.push(early);
  }
}

function fillRandom(into: Uint32Array<ArrayBuffer>): void {
  crypto.getRandomValues(into);
}

/** Fresh, unpredictable masking keys (RFC 6455 section 10.3), drawn many at a time: a call costs as much as 256 keys. */
class MaskingKeys {
  readonly #fill: (into: Uint32Array<ArrayBuffer>) => void;
  readonly #keys = new Uint32Array(256);
  #next = 256;
  constructor(fill: (into: Uint32Array<ArrayBuffer>) => void) {
    this.#fill = fill;
  }
  next(): number {
    if (this.#next === this.#keys.length) {
      this.#fill(this.#keys);
      this.#next = 0;
    }
    return this.#keys[this.#next++] ?? 0;
  }
}
