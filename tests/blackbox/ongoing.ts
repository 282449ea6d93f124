import { createHash, randomBytes, randomUUID } from "node:crypto";
import { within } from "./programs/within.ts";
import type { Exchange, RawOrigin } from "./raw/origin.ts";
import { type Target, Visitor } from "./raw/visitor.ts";
import { opcodes, RawWebSocket } from "./raw/websocket.ts";

const pieceBytes = 8 * 1024;
const everyMs = 20;
/** Longer than any outage that is to be survived. */
const waitLimitMs = 60_000;

/** What two exchanges that went on through everything have to show. */
export interface Story {
  readonly sent: { readonly bytes: number; readonly sha256: string };
  readonly received: { readonly bytes: number; readonly sha256: string };
  readonly messages: number;
  /** What came back in place of the message whose turn it was. */
  readonly outOfTurn: readonly string[];
}

/**
 * A download and a WebSocket with numbered messages through a tunnel, both paced, until told to end: whatever befalls
 * the tunnel, they are to see nothing but a pause.
 */
export class Ongoing {
  /** Before its targets at the origin. */
  readonly #path = `/${randomUUID()}`;
  #ending = false;
  #sentBytes = 0;
  #receivedBytes = 0;
  #messages = 0;
  #echoes = 0;
  readonly #outOfTurn: string[] = [];
  readonly #sentHash = createHash("sha256");
  readonly #receivedHash = createHash("sha256");
  #progress = Promise.withResolvers<void>();
  /** Both visitors, until they have all they are to get; fails as soon as one of them is cut off. */
  #whole: Promise<unknown> = Promise.resolve();
  readonly #close: (() => void)[] = [];

  private constructor() {}

  /** `origin` is the tunnel's; its script goes on for all but this one's two exchanges. */
  static async start(target: Target, origin: RawOrigin): Promise<Ongoing> {
    const ongoing = new Ongoing();
    const otherwise = origin.script;
    origin.script = (exchange) => {
      if (exchange.head.target === `${ongoing.#path}/echo`) return ongoing.#echo(exchange);
      if (exchange.head.target === `${ongoing.#path}/download`) return ongoing.#serve(exchange);
      return otherwise(exchange);
    };
    const visitor = await Visitor.connect(target);
    const socket = await RawWebSocket.connect(target, { path: `${ongoing.#path}/echo` });
    ongoing.#close.push(
      () => visitor.close(),
      () => socket.close(),
    );
    ongoing.#whole = Promise.all([ongoing.#download(visitor), ongoing.#say(socket), ongoing.#hear(socket)]);
    ongoing.#whole.catch(() => ongoing.#step());
    return ongoing;
  }

  /** Resolves once both have carried something that set out after this call. */
  async moved(): Promise<void> {
    const bytes = this.#sentBytes;
    const messages = this.#messages;
    const wait = async () => {
      while (this.#receivedBytes <= bytes || this.#echoes <= messages) await this.#progress.promise;
    };
    const moved = Promise.race([wait(), this.#whole.then(() => Promise.reject(new Error("both ended")))]);
    await within(moved, waitLimitMs, () => `progress after ${bytes} bytes and ${messages} messages`);
  }

  /** Ends both, and tells what came of them. */
  async finish(): Promise<Story> {
    this.#ending = true;
    await within(this.#whole, waitLimitMs, () => "the end of the download and of the WebSocket");
    this.close();
    return {
      sent: { bytes: this.#sentBytes, sha256: this.#sentHash.digest("hex") },
      received: { bytes: this.#receivedBytes, sha256: this.#receivedHash.digest("hex") },
      messages: this.#messages,
      outOfTurn: this.#outOfTurn,
    };
  }

  close(): void {
    this.#ending = true;
    for (const close of this.#close) close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #serve({ send, wire }: Exchange): Promise<void> {
    await send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (!this.#ending && !wire.socket.destroyed) {
      const piece = randomBytes(pieceBytes);
      this.#sentHash.update(piece);
      this.#sentBytes += piece.length;
      await send(
        Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]),
      );
      // A pace, so that it lasts as long as the test.
      await Bun.sleep(everyMs);
    }
    await send("0\r\n\r\n");
  }

  async #echo(exchange: Exchange): Promise<void> {
    const socket = await RawWebSocket.accept(exchange);
    for (;;) await socket.send(opcodes.text, await socket.text());
  }

  async #download(visitor: Visitor): Promise<void> {
    await visitor.send(`GET ${this.#path}/download HTTP/1.1\r\nHost: HOST\r\n\r\n`);
    const { body } = await visitor.answer();
    for (let piece = await body.piece(); piece !== undefined; piece = await body.piece()) {
      this.#receivedHash.update(piece);
      this.#receivedBytes += piece.length;
      this.#step();
    }
  }

  async #say(socket: RawWebSocket): Promise<void> {
    while (!this.#ending) {
      await socket.send(opcodes.text, String(this.#messages++));
      // A pace, so that it lasts as long as the test.
      await Bun.sleep(everyMs);
    }
    await socket.send(opcodes.text, "last");
  }

  async #hear(socket: RawWebSocket): Promise<void> {
    for (;;) {
      const text = await socket.text();
      if (text === "last") break;
      if (text !== String(this.#echoes)) this.#outOfTurn.push(`${text} in place of ${this.#echoes}`);
      this.#echoes++;
      this.#step();
    }
    if (this.#echoes !== this.#messages) this.#outOfTurn.push(`last in place of ${this.#echoes}`);
  }

  #step(): void {
    const progress = this.#progress;
    this.#progress = Promise.withResolvers();
    progress.resolve();
  }
}
