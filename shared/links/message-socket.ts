import type { Clock } from "../clock.ts";
import { deafLinkHandler, type Link, type LinkHandler } from "../link.ts";
import type { Gauge } from "../mux/gauge.ts";

/** A platform's WebSocket, open already: what a link or an ingress needs of it. workerd has no `terminate`, and `bufferedAmount` late. */
export type MessageSocket = Pick<WebSocket, "send" | "close" | "addEventListener" | "readyState"> & {
  binaryType?: string;
  readonly bufferedAmount?: number;
  terminate?(): void;
};

const limits = {
  /** PROTOCOL.md section 2. */
  maxMessageBytes: 65_536,
  /** Liveness texts are far shorter. */
  maxTextChars: 1_024,
  /** A peer that does not answer a close is dropped after this. */
  closeTimeoutMs: 2_000,
  /** Platforms tell how much is queued, but not when it has gone: it is looked at so often while something is. */
  drainPollMs: 2,
  /** The same of what is left when the link is over. */
  lastPollMs: 1_000,
  lastPolls: 60,
} as const;

export interface MessageSocketOptions {
  readonly clock: Clock;
  /** Counts what the platform has queued, where it tells. */
  readonly held?: Gauge;
}

/**
 * A link over a platform's own WebSocket, which deals in messages: no drain event, perhaps no count of what is queued.
 * Whoever makes one sees to it that it is told of the socket's events (`listenTo`).
 */
export class MessageSocketLink implements Link {
  handler: LinkHandler = deafLinkHandler;
  readonly #socket: MessageSocket;
  readonly #clock: Clock;
  #state: "open" | "closing" | "closed" = "open";
  #polling = false;
  #cancelTimeout: (() => void) | undefined;
  readonly #held: Gauge | undefined;
  #heldBytes = 0;
  /** The platform has told that the socket is over. */
  #isGone = false;

  constructor(socket: MessageSocket, { clock, held }: MessageSocketOptions) {
    this.#socket = socket;
    this.#clock = clock;
    this.#held = held;
    socket.binaryType = "arraybuffer";
  }

  /** A link over a socket that tells its events to listeners. */
  static listenTo(socket: MessageSocket, options: MessageSocketOptions): MessageSocketLink {
    const link = new MessageSocketLink(socket, options);
    socket.addEventListener("message", ({ data }) => link.takes(data));
    socket.addEventListener("close", ({ code, reason }) => link.over(code, reason));
    socket.addEventListener("error", () => link.failed());
    return link;
  }

  // The socket's events.

  takes(data: unknown): void {
    if (this.#state !== "open") return;
    this.handler.heard();
    if (typeof data === "string") {
      if (data.length > limits.maxTextChars) this.close(1009, "The message is too big.");
      else this.handler.text(data);
    } else if (!(data instanceof ArrayBuffer) || data.byteLength > limits.maxMessageBytes) {
      this.close(1009, "The message is too big.");
    } else {
      this.handler.message(new Uint8Array(data));
    }
  }

  over(code: number, reason: string): void {
    // Some platforms leave the answer to a close to us, others have given it.
    if (this.#state === "open") closeQuietly(this.#socket, code, reason);
    this.#isGone = true;
    this.#finish(code, reason);
  }

  /** Behind an error comes no close event on some platforms, and one that says nothing more on the others. */
  failed(): void {
    this.#isGone = true;
    this.#finish(1006, "");
  }

  get queued(): number {
    return this.#state === "closed" ? 0 : (this.#socket.bufferedAmount ?? 0);
  }

  send(message: Uint8Array): void {
    if (this.#state !== "open" || this.#socket.readyState !== openState) return;
    // workerd queues the buffer itself, and the sender uses it again.
    this.#socket.send(message.slice());
    const { queued } = this;
    this.#weigh(queued);
    if (!this.#polling && queued > 0) this.#pollLater(queued);
  }

  sendText(text: string): void {
    if (this.#state === "open" && this.#socket.readyState === openState) this.#socket.send(text);
  }

  close(code: number, reason: string): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    closeQuietly(this.#socket, code, reason);
    this.#cancelTimeout = this.#clock.at(this.#clock.now() + limits.closeTimeoutMs, () => this.#drop());
  }

  destroy(): void {
    if (this.#state === "closed") return;
    this.#state = "closing";
    this.#clock.soon(() => this.#drop());
  }

  #drop(): void {
    if (this.#socket.terminate !== undefined) this.#socket.terminate();
    else closeQuietly(this.#socket, 1011, "");
    this.#finish(1006, "");
  }

  #finish(code: number, reason: string): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#weighRest();
    this.#cancelTimeout?.();
    this.handler.closed(code, reason);
  }

  /**
   * Where the platform can't be told to drop what it has queued, that stays until it is taken, or the socket breaks.
   * It is not waited for without end: a peer that stands still must not keep this side busy.
   */
  #weighRest(polls: number = limits.lastPolls): void {
    const rest = this.#isGone || polls === 0 ? 0 : (this.#socket.bufferedAmount ?? 0);
    this.#weigh(rest);
    if (rest > 0) this.#clock.at(this.#clock.now() + limits.lastPollMs, () => this.#weighRest(polls - 1));
  }

  #weigh(bytes: number): void {
    this.#held?.add(bytes - this.#heldBytes);
    this.#heldBytes = bytes;
  }

  #pollLater(before: number): void {
    this.#polling = true;
    this.#clock.at(this.#clock.now() + limits.drainPollMs, () => {
      this.#polling = false;
      if (this.#state === "closed") return;
      const now = this.queued;
      this.#weigh(now);
      if (now < before && this.#state === "open") this.handler.drained();
      if (!this.#polling && this.queued > 0) this.#pollLater(Math.max(now, this.queued));
    });
  }
}

const openState = 1;

/** Closes with `code`, or without one where the platform does not let it be sent (1005, 1006, browsers' 1001 to 2999). */
export function closeQuietly(socket: MessageSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    try {
      socket.close();
    } catch {
      // Closed already: which is what was wanted.
    }
  }
}
