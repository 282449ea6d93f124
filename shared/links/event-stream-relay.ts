import type { Clock } from "../clock.ts";
import { deafLinkHandler, type Link, type LinkHandler } from "../link.ts";
import {
  closeEvent,
  commentLines,
  messageEvent,
  messageEventBytes,
  openEvent,
  textEvent,
} from "./event-stream-events.ts";
import { eventStreamLimits as limits } from "./event-stream-limits.ts";
import { type OrderedBody, PostOrder } from "./event-stream-order.ts";
import type { EventSink } from "./event-stream-sink.ts";
import { PartReader } from "./parts.ts";

export interface EventStreamRelayOptions {
  readonly clock: Clock;
  /** What the agent's POSTs say: 22 and 43 characters of base64url. */
  readonly id: string;
  readonly secret: string;
  /** The link takes no more POSTs. Exactly once. */
  readonly gone?: () => void;
  /** So many bytes more, or less, of its POSTs wait for their turn. */
  readonly held?: (bytes: number) => void;
}

/** Sockets gather smaller writes and keep them for a moment. */
const reuseFromBytes = 32_768;

/** The relay's end of a link without WebSocket: writes events, and is given the POSTs that come for it. */
export class EventStreamRelayLink implements Link {
  readonly transport = "sse";
  handler: LinkHandler = deafLinkHandler;
  readonly #sink: EventSink;
  readonly #clock: Clock;
  readonly #gone: () => void;
  readonly #order: PostOrder;
  #room: Uint8Array | undefined;
  #state: "open" | "closing" | "closed" = "open";
  /** What `closed` will say. */
  #code = 1006;
  #reason = "";
  #cancelComment: () => void;
  #cancelTimeout: (() => void) | undefined;
  #cancelTurn: (() => void) | undefined;
  /** What had been taken in when the wait began. */
  #turn = 0;

  /** Writes the first event. The head of the answer has been written. */
  constructor(sink: EventSink, options: EventStreamRelayOptions) {
    const { clock, id, secret, gone = () => {} } = options;
    this.#sink = sink;
    this.#clock = clock;
    this.#gone = gone;
    const reader = new PartReader({
      message: (bytes) => this.#state === "open" && this.handler.message(bytes),
      text: (text) => this.#state === "open" && this.handler.text(text),
      close: (code, reason) => this.#peerCloses(code, reason),
    });
    this.#order = new PostOrder({
      bytes: (bytes) => reader.push(bytes),
      complete: () => reader.end(),
      held: options.held ?? (() => {}),
    });
    sink.handler = {
      drained: () => this.#state === "open" && this.handler.drained(),
      closed: () => this.#closed(),
    };
    sink.write(openEvent({ link: id, secret }));
    this.#cancelComment = this.#commentLater();
  }

  get queued(): number {
    return this.#sink.queued;
  }
  /** POSTs find it still. */
  get isOpen(): boolean {
    return this.#state !== "closed";
  }
  /** All POSTs up to this number were taken in. */
  get taken(): number {
    return this.#order.taken;
  }

  send(message: Uint8Array): void {
    if (this.#state !== "open") return;
    if (message.length < reuseFromBytes) {
      this.#sink.write(messageEvent(message));
      return;
    }
    const room = this.#room ?? new Uint8Array(messageEventBytes(limits.maxMessageBytes));
    const queued = this.#sink.write(messageEvent(message, room));
    // What is queued still lies in it.
    this.#room = queued === 0 ? room : undefined;
  }

  sendText(text: string): void {
    if (this.#state === "open") this.#sink.write(textEvent(text));
  }

  close(code: number, reason: string): void {
    if (this.#state === "open") this.#startClosing(code, reason);
  }

  destroy(): void {
    if (this.#state === "closed") return;
    this.#state = "closing";
    this.#sink.destroy();
  }

  /**
   * A POST for this link has begun. undefined: its number is further ahead than may be, and the link is dropped. Its
   * body's `push` and `end` drop the link where they say so.
   */
  post(number: number): OrderedBody | undefined {
    this.#heard();
    const body = this.#order.begin(number);
    if (body === undefined) {
      this.destroy();
      return undefined;
    }
    return {
      push: (bytes) => {
        this.#heard();
        const isValid = body.push(bytes);
        if (!isValid) this.destroy();
        return isValid;
      },
      end: (done) => {
        body.end((outcome) => {
          if (outcome === "invalid") this.destroy();
          done(outcome);
        });
        this.#watchTurn();
      },
    };
  }

  #heard(): void {
    if (this.#state === "open") this.handler.heard();
  }

  /** What overtook waits no longer than a while for the POST whose turn it is. */
  #watchTurn(): void {
    const { taken, waits } = this.#order;
    if (this.#cancelTurn !== undefined && waits && taken === this.#turn) return;
    this.#cancelTurn?.();
    this.#cancelTurn = undefined;
    if (this.#state === "closed" || !waits) return;
    this.#turn = taken;
    const untilMs = this.#clock.now() + limits.turnTimeoutMs;
    this.#cancelTurn = this.#clock.at(untilMs, () => this.destroy());
  }

  #peerCloses(code: number, reason: string): void {
    if (this.#state !== "open") return;
    this.#code = code;
    this.#reason = reason;
    this.#startClosing(code, "");
  }

  #startClosing(code: number, reason: string): void {
    this.#state = "closing";
    if (this.#code === 1006) this.#code = code;
    this.#sink.write(closeEvent(code, reason));
    this.#sink.end();
    this.#cancelTimeout = this.#clock.at(this.#clock.now() + limits.closeTimeoutMs, () => this.destroy());
  }

  #commentLater(): () => void {
    return this.#clock.at(this.#clock.now() + limits.commentMs, () => {
      if (this.#state !== "open") return;
      this.#sink.write(commentLines());
      this.#cancelComment = this.#commentLater();
    });
  }

  #closed(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#cancelComment();
    this.#cancelTimeout?.();
    this.#cancelTurn?.();
    this.#gone();
    this.#order.end();
    this.handler.closed(this.#code, this.#reason);
  }
}
