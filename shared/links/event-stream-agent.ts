import type { Clock } from "../clock.ts";
import { deafLinkHandler, type Link, type LinkHandler } from "../link.ts";
import type { Dial, DialTarget } from "../socket.ts";
import { eventStreamLimits as limits } from "./event-stream-limits.ts";
import { EventStreamParser } from "./event-stream-parser.ts";
import { type PostCap, PostSender } from "./event-stream-posts.ts";
import { closePart, PartType } from "./parts.ts";

/** The body of an answer as it comes. */
export interface EventBody {
  /** Set at once by whoever gets the body. */
  handler: EventBodyHandler;
  /** Breaks it off; nothing is told any more. */
  destroy(): void;
}

export interface EventBodyHandler {
  data(bytes: Uint8Array): void;
  /** It has ended, in order or not. Exactly once. */
  closed(): void;
}

export interface EventStreamAgentOptions {
  readonly clock: Clock;
  /** For the sockets of the POSTs. */
  readonly dial: Dial;
  readonly target: DialTarget;
  /** Request line and fields of a POST to this link, each with CRLF, but for those that this link knows. */
  readonly postHead: (link: string) => string;
  readonly cap: PostCap;
  /** For the first event. */
  readonly openWithinMs: number;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const latin1 = new TextDecoder("latin1");

/** Reads the first event of `body`, and makes the link. `done` is called once, never from inside: undefined where no link comes of it. Returns what gives up. */
export function openEventStream(
  body: EventBody,
  options: EventStreamAgentOptions,
  done: (link: Link | undefined) => void,
): () => void {
  let link: EventStreamAgentLink | undefined;
  let over = false;
  const parser = new EventStreamParser(
    {
      heard: () => link?.heard(),
      event(name, data) {
        if (link !== undefined) {
          link.event(name, data);
          return;
        }
        const opening = name === "open" ? readOpening(data) : undefined;
        if (opening === undefined) fail();
        else {
          cancel();
          over = true;
          link = new EventStreamAgentLink(body, parser, opening, options);
          done(link);
        }
      },
      fault: () => (link === undefined ? fail() : link.destroy()),
    },
    { maxBytes: limits.maxEventBytes },
  );
  const giveUp = (): void => {
    if (over) return;
    over = true;
    cancel();
    parser.stop();
    body.destroy();
  };
  const fail = (): void => {
    if (over) return;
    giveUp();
    done(undefined);
  };
  const cancel = options.clock.at(options.clock.now() + options.openWithinMs, fail);
  body.handler = { data: (bytes) => parser.push(bytes), closed: fail };
  return giveUp;
}

/** The agent's end of a link without WebSocket: reads events, and sends POSTs. */
class EventStreamAgentLink implements Link {
  readonly transport = "sse";
  handler: LinkHandler = deafLinkHandler;
  readonly #body: EventBody;
  readonly #parser: EventStreamParser;
  readonly #clock: Clock;
  readonly #posts: PostSender;
  #readMs: number;
  #cancelRead: () => void;
  #cancelTimeout: (() => void) | undefined;
  #state: "open" | "closing" | "closed" = "open";

  constructor(
    body: EventBody,
    parser: EventStreamParser,
    opening: Opening,
    { clock, dial, target, postHead, cap }: EventStreamAgentOptions,
  ) {
    this.#body = body;
    this.#parser = parser;
    this.#clock = clock;
    const head = `${postHead(opening.link)}Underpass-Link-Secret: ${opening.secret}\r\n`;
    this.#posts = new PostSender(
      { clock, dial, target, head, cap },
      {
        drained: () => this.#state === "open" && this.handler.drained(),
        failed: () => this.destroy(),
      },
    );
    this.#readMs = clock.now();
    this.#cancelRead = this.#readLater(limits.readTimeoutMs);
    body.handler = {
      data: (bytes) => {
        this.#readMs = clock.now();
        this.#parser.push(bytes);
      },
      closed: () => this.#finish(1006, ""),
    };
  }

  get queued(): number {
    return this.#posts.queued;
  }

  send(message: Uint8Array): void {
    if (this.#state === "open") this.#posts.send({ type: PartType.binary, bytes: message.slice() });
  }

  sendText(text: string): void {
    if (this.#state === "open")
      this.#posts.send({ type: PartType.text, bytes: new TextEncoder().encode(text) });
  }

  close(code: number, reason: string): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#posts.send(closePart(code, reason));
    this.#cancelTimeout = this.#clock.at(this.#clock.now() + limits.closeTimeoutMs, () => this.destroy());
  }

  destroy(): void {
    if (this.#state === "closed") return;
    this.#state = "closing";
    this.#posts.stop();
    this.#parser.stop();
    this.#body.destroy();
    this.#clock.soon(() => this.#finish(1006, ""));
  }

  /**
   * A comment is no sign of life: it says nothing of the way up, and an agent that hears one every 15 s would never ask.
   */
  heard(): void {
    if (this.#state === "open") this.handler.heard();
  }

  event(name: string, data: Uint8Array): void {
    if (name === "close") {
      const [, code, reason] = /^(\d{1,5})(?: ([\s\S]*))?$/.exec(decoder.decode(data)) ?? [];
      this.#finish(code === undefined ? 1006 : Number(code), reason ?? "");
      return;
    }
    if (this.#state !== "open") return;
    if (name === "text") this.handler.text(decoder.decode(data));
    else if (name === "" || name === "message") {
      const message = fromBase64(data);
      if (message === undefined || message.length > limits.maxMessageBytes) this.destroy();
      else this.handler.message(message);
    }
  }

  /** One timer for all that comes: it looks again when the last byte is not as long ago as it must be. */
  #readLater(inMs: number): () => void {
    return this.#clock.at(this.#clock.now() + inMs, () => {
      const leftMs = this.#readMs + limits.readTimeoutMs - this.#clock.now();
      if (leftMs <= 0) this.destroy();
      else this.#cancelRead = this.#readLater(leftMs);
    });
  }

  #finish(code: number, reason: string): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#cancelRead();
    this.#cancelTimeout?.();
    this.#posts.stop();
    this.#parser.stop();
    this.#body.destroy();
    this.handler.closed(code, reason);
  }
}

interface Opening {
  readonly link: string;
  readonly secret: string;
}

function readOpening(data: Uint8Array): Opening | undefined {
  try {
    const value: unknown = JSON.parse(decoder.decode(data));
    if (typeof value !== "object" || value === null) return undefined;
    const { link, secret } = value as Partial<Record<string, unknown>>;
    // They go into a request's lines.
    return isText(link, 22) && isText(secret, 43) ? { link, secret } : undefined;
  } catch {
    // Not JSON: not from a relay.
    return undefined;
  }
}

function isText(value: unknown, length: number): value is string {
  return typeof value === "string" && value.length === length && /^[A-Za-z0-9_-]+$/.test(value);
}

function fromBase64(data: Uint8Array): Uint8Array | undefined {
  try {
    return Uint8Array.fromBase64(latin1.decode(data), { lastChunkHandling: "strict" });
  } catch {
    // Not base64: told as such by the caller.
    return undefined;
  }
}
