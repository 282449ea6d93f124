import type { Clock } from "../../shared/clock.ts";
import { type Code, codes } from "../../shared/errors.ts";
import { decodeHead } from "../../shared/head.ts";
import { HttpFault } from "../../shared/http1/fault.ts";
import { type Framing, requestFraming } from "../../shared/http1/framing.ts";
import { fieldValue, type RequestHead } from "../../shared/http1/head.ts";
import { parseRequestHead } from "../../shared/http1/read-head.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { RequestEvent } from "../screen/events.ts";
import { AnswerWriter } from "./answer-writer.ts";
import { BodySource } from "./body-source.ts";

/** What a web framework's app is: `app.fetch` of Hono, a Worker, or a function of one's own. */
export type FetchFunction = (request: Request) => Response | Promise<Response>;

export interface HandlerOriginOptions {
  readonly fetch: FetchFunction;
  readonly clock: Clock;
  /** An exchange has ended. */
  readonly onRequest: (event: RequestEvent) => void;
  /** The function threw, or its answer can't be sent. The visitor got a 500 where no answer had begun. */
  readonly onError: (error: unknown) => void;
}

/** An origin with no port at all: a fetch function in this process answers each exchange. */
export class HandlerOrigin {
  readonly #options: HandlerOriginOptions;

  constructor(options: HandlerOriginOptions) {
    this.#options = options;
  }

  /** Takes an http stream that the relay opened, with its head fields still encoded. */
  open(stream: Stream, fields: Uint8Array): StreamHandler {
    const http = decodeHead(fields)?.http;
    const head = http === undefined ? undefined : parseRequestHead(http);
    const framing = head === undefined || head instanceof HttpFault ? undefined : requestFraming(head);
    if (
      head === undefined ||
      head instanceof HttpFault ||
      framing === undefined ||
      framing instanceof HttpFault
    ) {
      stream.reset("head-invalid");
      return stream.handler;
    }
    return new Exchange(stream, head, framing, this.#options);
  }
}

/** One request on its way through the function. */
class Exchange implements StreamHandler {
  readonly #stream: Stream;
  readonly #method: string;
  readonly #target: string;
  readonly #options: HandlerOriginOptions;
  readonly #startedMs: number;
  readonly #abort = new AbortController();
  readonly #body: BodySource;
  readonly #answer: AnswerWriter;
  #over = false;

  constructor(stream: Stream, head: RequestHead, framing: Framing, options: HandlerOriginOptions) {
    this.#stream = stream;
    // Not the head itself: that would keep the whole message that it came in.
    this.#method = head.method;
    this.#target = head.target;
    this.#options = options;
    this.#startedMs = options.clock.now();
    this.#answer = new AnswerWriter(stream, head.method);
    const expects = fieldValue(head.fields, "expect")?.toLowerCase() === "100-continue";
    this.#body = new BodySource(stream, framing, () => {
      if (expects) this.#answer.interim(100, "Continue");
    });
    void this.#run(this.#request(head));
  }

  /** Request trailers: a Request has no place for them. */
  head(): void {}

  data(bytes: Uint8Array): void {
    if (!this.#body.data(bytes)) this.#fail("head-invalid");
  }

  end(): void {
    if (!this.#body.end()) this.#fail("head-invalid");
  }

  /**
   * The visitor has closed his sending side. As with other hosts of fetch functions that counts as gone for the
   * request's signal; a function that answers nevertheless is heard, since he may be waiting.
   */
  left(): void {
    this.#abort.abort();
  }

  reset(code: Code): void {
    this.#finish(code, 0);
  }

  writable(): void {
    this.#answer.writable();
  }

  async #run(request: Request | undefined): Promise<void> {
    const response = await this.#respond(request);
    if (this.#over) {
      // The visitor left while the function was busy: tell the source of its body.
      await response.body?.cancel().catch(() => {});
      return;
    }
    const problem = await this.#answer.send(response, new Date(this.#options.clock.date()));
    if (this.#over) return;
    if (problem !== undefined) {
      this.#options.onError(problem);
      this.#fail("stream-failed");
      return;
    }
    this.#stream.end();
    // What the function has not read of the request, nobody will: the relay need not send it.
    if (!this.#body.complete) this.#stream.reset("no-error");
    this.#finish(undefined, 0);
  }

  async #respond(request: Request | undefined): Promise<Response> {
    if (request === undefined)
      return new Response("This origin can't take such a request.\n", { status: 400 });
    try {
      const response = await this.#options.fetch(request);
      if (response instanceof Response && response.status >= 200) return response;
      throw new TypeError("The fetch function returned no Response.");
    } catch (error) {
      if (!this.#over) this.#options.onError(error);
      return new Response("Internal Server Error\n", { status: 500 });
    }
  }

  /** undefined: what HTTP allows and the Fetch standard does not (CONNECT, or a Host that no URL can have). */
  #request(head: RequestHead): Request | undefined {
    try {
      return this.#made(head);
    } catch {
      return undefined;
    }
  }

  #made({ method, target, fields }: RequestHead): Request {
    const headers = new Headers();
    for (let i = 0; i + 1 < fields.length; i += 2) headers.append(fields[i] ?? "", fields[i + 1] ?? "");
    const scheme = fieldValue(fields, "x-forwarded-proto") === "https" ? "https" : "http";
    const host = fieldValue(fields, "host") ?? "localhost";
    // Put together by hand: resolving "//x/y" against a base would make x the host.
    const url = `${scheme}://${host}${target.startsWith("/") ? target : "/"}`;
    // A Request with GET or HEAD has no body, whatever was sent.
    const body = method === "GET" || method === "HEAD" ? undefined : this.#body.stream();
    // `duplex` is asked for by the Fetch standard, and not known to all type libraries.
    const init = { method, headers, signal: this.#abort.signal, duplex: "half", ...(body && { body }) };
    return new Request(url, init);
  }

  #fail(code: Code): void {
    this.#stream.reset(code);
    this.#finish(code, codes[code].status ?? 502);
  }

  /** `status`: what the visitor gets where no answer had begun; 0: nobody is there to get one. */
  #finish(code: Code | undefined, status: number): void {
    if (this.#over) return;
    this.#over = true;
    if (code !== undefined) {
      this.#abort.abort();
      this.#body.fail();
      this.#answer.cancel();
    }
    const { clock, onRequest } = this.#options;
    onRequest({
      event: "request",
      method: this.#method,
      path: this.#target,
      status: this.#answer.status || status,
      ms: Math.round((clock.now() - this.#startedMs) * 10) / 10,
      bytesIn: this.#body.receivedBytes,
      bytesOut: this.#answer.sentBytes,
      ...(code !== undefined && { code }),
    });
  }
}
