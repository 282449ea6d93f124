import type { Code } from "../../shared/errors.ts";
import { decodeHead, encodeHead } from "../../shared/head.ts";
import { HttpFault } from "../../shared/http1/fault.ts";
import type { ResponseHead } from "../../shared/http1/head.ts";
import { decodeLatin1, encodeLatin1 } from "../../shared/http1/latin1.ts";
import { parseResponseHead } from "../../shared/http1/read-head.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";

const silent: StreamHandler = { head() {}, data() {}, end() {}, left() {}, reset() {}, writable() {} };

/** The relay's end of an http stream, without a session: what the origin's side says is kept, and can be waited for. */
export class FakeStream {
  handler: StreamHandler = silent;
  closed = false;
  /** 1xx first. */
  readonly heads: ResponseHead[] = [];
  trailers = "";
  body = "";
  ended = false;
  resetCode: Code | undefined;
  /** Above it `write` says false. */
  highBytes = Number.POSITIVE_INFINITY;
  queued = 0;
  heldBytes: number | undefined;
  #waiters: { done: () => boolean; resolve: () => void }[] = [];

  /** For the origin's `open`. */
  get stream(): Stream {
    return this as unknown as Stream;
  }

  head(fields: Uint8Array): void {
    const { http, trailers } = decodeHead(fields) ?? {};
    if (trailers !== undefined) this.trailers += decodeLatin1(trailers);
    const head = http === undefined ? undefined : parseResponseHead(http);
    if (head instanceof HttpFault) throw head;
    if (head !== undefined) this.heads.push(head);
    this.#look();
  }
  write(bytes: Uint8Array): boolean {
    this.body += decodeLatin1(bytes);
    this.queued += bytes.length;
    this.#look();
    return this.queued <= this.highBytes;
  }
  give(bytes: Uint8Array): boolean {
    return this.write(bytes);
  }
  end(): void {
    this.ended = true;
    this.#look();
  }
  reset(code: Code): void {
    if (this.closed) return;
    this.closed = true;
    this.resetCode = code;
    this.#look();
  }
  held(bytes: number): void {
    this.heldBytes = bytes;
    this.#look();
  }

  /** The final head. */
  get status(): number {
    return this.heads.at(-1)?.status ?? 0;
  }

  async until(done: () => boolean): Promise<void> {
    if (done()) return;
    await new Promise<void>((resolve) => this.#waiters.push({ done, resolve }));
  }
  get over(): Promise<void> {
    return this.until(() => this.ended || this.closed);
  }

  #look(): void {
    const ready = this.#waiters.filter(({ done }) => done());
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve();
  }
}

interface Origin {
  open(stream: Stream, fields: Uint8Array): StreamHandler;
}

/** Opens an exchange. `head`: request line and field lines, joined here. Without `body` END follows at once. */
export function visit(
  origin: Origin,
  head: readonly string[],
  options: { open?: boolean; body?: string } = {},
): FakeStream {
  const stream = new FakeStream();
  const http = encodeLatin1(head.map((line) => `${line}\r\n`).join(""));
  const handler = origin.open(stream.stream, encodeHead({ http }));
  if (!stream.closed) stream.handler = handler;
  if (options.body !== undefined) stream.handler.data(encodeLatin1(options.body));
  if (options.open !== true && !stream.closed) stream.handler.end();
  return stream;
}

/** A GET of `path`. */
export function get(origin: Origin, path: string): FakeStream {
  return visit(origin, [`GET ${path} HTTP/1.1`, "Host: visitor.example"]);
}
