import type { Clock } from "../clock.ts";
import type { Code } from "../errors.ts";
import { deafLinkHandler, type Link, type LinkHandler } from "../link.ts";
import type { Stream, StreamHandler } from "../mux/stream.ts";
import type { PipeHandler } from "../pipe.ts";
import { StreamEnd } from "../pipe-ends/stream-end.ts";
import { closePart, encodePart, type PartHandler, PartReader, PartType } from "./parts.ts";

export interface StreamLinkOptions {
  readonly clock: Clock;
  /** For whoever opened the stream: the other side has taken the link, which it says by HEAD. */
  readonly opened?: () => void;
}

/** A peer that neither answers a close nor reads what is queued is dropped after this. */
const closeTimeoutMs = 2_000;
const encoder = new TextEncoder();

/** A link over one stream of a session between relays: what an agent's link says, passed on (PROTOCOL.md section 9). */
export class StreamLink implements Link, PipeHandler, PartHandler {
  handler: LinkHandler = deafLinkHandler;
  /** The stream's handler, set already; whoever was asked for one (a session's `opened`) gives this back. */
  readonly receiver: StreamHandler;
  readonly #stream: Stream;
  readonly #end: StreamEnd;
  readonly #clock: Clock;
  /** What the stream is reset with when the link is dropped. */
  readonly #broken: Code;
  readonly #reader = new PartReader(this);
  #state: "open" | "closing" | "closed" = "open";
  #heldBytes = 0;
  /** What `closed` will say. */
  #code = 1006;
  #reason = "";
  #cancelTimeout: (() => void) | undefined;

  constructor(stream: Stream, { clock, opened }: StreamLinkOptions) {
    this.#stream = stream;
    this.#clock = clock;
    this.#broken = opened === undefined ? "origin-closed" : "cancelled";
    this.#end = new StreamEnd(stream, opened === undefined ? {} : { opened });
    this.#end.handler = this;
    this.receiver = this.#end.receiver;
  }

  get queued(): number {
    return this.#stream.queued;
  }

  send(message: Uint8Array): void {
    if (this.#state === "open") this.#end.write(encodePart(PartType.binary, message));
  }

  sendText(text: string): void {
    if (this.#state === "open") this.#end.write(encodePart(PartType.text, encoder.encode(text)));
  }

  /** So many of the bytes that came still wait where they were passed on to. Slows the peer in time. */
  held(bytes: number): void {
    this.#heldBytes = bytes;
    this.#end.held(bytes);
  }

  /** Also what the peer's close comes to: it is answered with the same, and `closed` says what was said first. */
  close(code: number, reason: string): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#code = code;
    this.#reason = reason;
    this.#end.write(encodePart(PartType.close, closePart(code, reason).bytes));
    this.#end.end();
    this.#cancelTimeout = this.#clock.at(this.#clock.now() + closeTimeoutMs, () => {
      this.#end.abort(this.#broken);
      this.#finish(1006, "");
    });
  }

  destroy(): void {
    if (this.#state === "closed") return;
    this.#state = "closing";
    this.#end.abort(this.#broken);
    this.#clock.soon(() => this.#finish(1006, ""));
  }

  // PipeHandler

  data(bytes: Uint8Array): void {
    if (this.#state === "open") this.handler.heard();
    const isValid = this.#reader.push(bytes);
    // The part of a message that is here must not keep the rest of it away.
    this.#end.held(this.#heldBytes);
    if (!isValid) this.close(this.#reader.fault ?? 1002, "What was said is not a link.");
  }

  drained(): void {
    if (this.#state === "open") this.handler.drained();
  }

  ended(): void {
    // Without a close of either side before it, the pipe broke.
    if (this.#state === "open") this.#end.abort(this.#broken);
    this.#finish(this.#code, this.#reason);
  }

  aborted(): void {
    this.#finish(1006, "");
  }

  // PartHandler, of which `close` stands above.

  message(bytes: Uint8Array): void {
    if (this.#state === "open") this.handler.message(bytes);
  }

  text(text: string): void {
    if (this.#state === "open") this.handler.text(text);
  }

  #finish(code: number, reason: string): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    // What has not left yet has its time.
    if (this.#stream.closed || this.#stream.ended) this.#cancelTimeout?.();
    this.handler.closed(code, reason);
  }
}
