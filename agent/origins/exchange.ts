import { type Code, codes } from "../../shared/errors.ts";
import { decodeHead, encodeHead, encodeHeadBytes } from "../../shared/head.ts";
import { HttpFault } from "../../shared/http1/fault.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import { type ResponseHead, writeFields, writeResponseHead } from "../../shared/http1/head.ts";
import { connectionNames, hasMark, linesOfThisHop, withoutHopByHop } from "../../shared/http1/hop.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { Mark } from "../../shared/http1/marks.ts";
import { parseTrailers, type ReadRequestHead, type ReadResponseHead } from "../../shared/http1/read-head.ts";
import { limits } from "../../shared/mux/limits.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { SocketEnd } from "../../shared/pipe-ends/socket-end.ts";
import { StreamEnd } from "../../shared/pipe-ends/stream-end.ts";
import { splice } from "../../shared/splice.ts";
import type { RequestEvent } from "../screen/events.ts";
import type { Deadlines } from "./deadlines.ts";
import { originLimits } from "./limits.ts";
import type { OriginSocket, OriginUser } from "./origin-socket.ts";
import type { OriginPool } from "./pool.ts";
import { RequestBody } from "./request-body.ts";

const nothing = new Uint8Array(0);

/** What all exchanges of one origin share. */
export interface ExchangePlace {
  readonly pool: OriginPool;
  /** Expires an exchange whose origin is silent for too long before the final head. */
  readonly headDeadlines: Deadlines<HttpExchange>;
  readonly now: () => number;
  /** Runs after the events of this turn. */
  readonly soon: (run: () => void) => void;
  readonly onRequest: (event: RequestEvent) => void;
  /** The first bytes of the body of an answer with status 403: dev servers that check Host say so there. */
  readonly onForbidden: (body: Uint8Array) => void;
}

/** One request on its way to the origin and its response on the way back. At most one socket ever sees it. */
export class HttpExchange implements StreamHandler, OriginUser {
  readonly #stream: Stream;
  readonly #method: string;
  readonly #target: string;
  readonly #minor: 0 | 1;
  readonly #place: ExchangePlace;
  readonly #startedMs: number;
  readonly #wantsUpgrade: boolean;
  readonly #request: RequestBody;
  /** What is to be written to the origin, as soon as there is a socket. */
  readonly #unsent: Uint8Array[];
  #unsentBytes: number;
  #socket: OriginSocket | undefined;
  #cancelDial: (() => void) | undefined;
  /** The stream's END has come. */
  #requestEnded = false;
  /** The visitor has closed his sending side. */
  #left = false;
  /** Of the final head, 0 before. */
  #status = 0;
  #keepSocket = false;
  #paused = false;
  #bytesOut = 0;
  #over = false;
  /** The response is complete, and the upload goes on. */
  #answered = false;

  /** `wire`: the head as the origin gets it, with its empty line. */
  constructor(
    stream: Stream,
    head: ReadRequestHead,
    framing: Framing,
    wire: Uint8Array,
    place: ExchangePlace,
  ) {
    this.#stream = stream;
    // Not the head itself: that would keep the whole message that it came in.
    this.#method = head.method;
    this.#target = head.target;
    this.#minor = head.minor;
    this.#place = place;
    this.#startedMs = place.now();
    this.#wantsUpgrade = hasMark(head, Mark.upgrade) && connectionNames(head, "upgrade");
    this.#request = new RequestBody(framing);
    this.#unsent = [wire];
    this.#unsentBytes = wire.length;
  }

  /** Takes a socket. A head with a body waits for the body's first bytes until the end of this turn: one write for both. */
  start(): void {
    const idle = this.#place.pool.take();
    if (idle !== undefined) this.#attach(idle);
    else this.#dial();
    if (this.#request.complete) this.#flush();
    else this.#flushSoon();
  }

  // From the stream.

  /** Trailers of the request. */
  head(fields: Uint8Array): void {
    const bytes = decodeHead(fields)?.trailers;
    const trailers = bytes === undefined ? undefined : parseTrailers(bytes, "request-invalid");
    if (trailers === undefined || trailers instanceof HttpFault || !this.#request.trailers(trailers)) {
      this.#fail("head-invalid");
    }
  }

  data(bytes: Uint8Array): void {
    const framed = this.#request.data(bytes);
    if (framed === undefined) this.#fail("head-invalid");
    else this.#send(framed);
  }

  end(): void {
    this.#requestEnded = true;
    const last = this.#request.end();
    if (last === undefined) this.#fail("head-invalid");
    else this.#send(last);
    if (this.#answered && !this.#over && this.#socket !== undefined) this.#complete(this.#socket);
  }

  /** The origin sees a FIN, as it would from the visitor itself: it may answer still, or stop working. */
  left(): void {
    this.#left = true;
    this.#keepSocket = false;
    this.#socket?.socket.end();
  }

  reset(code: Code): void {
    this.#finish(code, 0);
  }

  writable(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket?.socket.resume();
  }

  // From the socket to the origin.

  responseHead(head: ReadResponseHead, framing: Framing): void {
    if (head.status < 200 && framing.kind === "none") {
      if (this.#sendHead(head)) this.#progress();
      return;
    }
    this.#place.headDeadlines.clear(this);
    if (framing.kind === "tunnel") {
      this.#upgrade(head);
      return;
    }
    const known = framing.kind !== "until-close" && this.#minor === 1 && !this.#left;
    this.#keepSocket = known && staysOpen(head);
    if (this.#sendHead(head)) this.#status = head.status;
  }

  responseBody(bytes: Uint8Array): void {
    if (this.#status === 403 && this.#bytesOut === 0) this.#place.onForbidden(bytes);
    this.#bytesOut += bytes.length;
    if (this.#stream.write(bytes) || this.#paused) return;
    this.#paused = true;
    this.#socket?.socket.pause();
  }

  responseTrailers(fields: string[]): void {
    this.#stream.head(encodeHead({ trailers: encodeLatin1(writeFields(fields)) }));
  }

  responseEnd(): void {
    const socket = this.#socket;
    if (this.#over || socket === undefined) return;
    this.#stream.end();
    // An answer before the upload's end: an origin that keeps the socket open goes on reading, as it would without us.
    if (!this.#request.complete && this.#keepSocket && !socket.reader.surplus) this.#answered = true;
    else this.#complete(socket);
  }

  /** The answer is through, and the upload too, or nobody wants the rest of it. */
  #complete(socket: OriginSocket): void {
    this.#over = true;
    if (!this.#requestEnded) this.#stream.reset("no-error");
    const { pool } = this.#place;
    const sent = this.#request.complete && this.#unsent.length === 0 && socket.socket.queued === 0;
    if (this.#paused) socket.socket.resume();
    if (!sent || socket.reader.surplus) pool.discard(socket);
    else if (this.#keepSocket) pool.release(socket);
    else pool.part(socket);
    this.#tell(this.#status, this.#request.bytes, this.#bytesOut, undefined);
  }

  responseFault(fault: HttpFault): void {
    this.#fail(fault.code);
  }

  drained(): void {
    if (this.#over || this.#socket === undefined) return;
    this.#stream.held(this.#socket.socket.queued);
    this.#progress();
  }

  lost(): void {
    this.#fail("origin-closed");
  }

  /** The origin was silent for too long. */
  expire(): void {
    this.#fail("origin-timeout");
  }

  #dial(): void {
    this.#cancelDial = this.#place.pool.open({
      opened: (socket) => this.#opened(socket),
      failed: (code) => this.#fail(code),
    });
  }

  #flushSoon(): void {
    this.#place.soon(() => this.#flush());
  }

  #opened(socket: OriginSocket): void {
    this.#cancelDial = undefined;
    this.#attach(socket);
    this.#flush();
    if (this.#left) socket.socket.end();
  }

  #attach(socket: OriginSocket): void {
    this.#socket = socket;
    socket.user = this;
    socket.reader.expect(this.#method);
  }

  #send(bytes: Uint8Array): void {
    if (this.#over) return;
    if (bytes.length > 0) {
      // While it waits for a socket, a small view must not pin the message that it came in.
      this.#unsent.push(this.#socket === undefined ? bytes.slice() : bytes);
      this.#unsentBytes += bytes.length;
    }
    if (this.#socket === undefined) this.#stream.held(this.#unsentBytes);
    else this.#flush();
  }

  /** The first byte that is written here makes the exchange this socket's: it is never tried on another. */
  #flush(): void {
    const socket = this.#socket?.socket;
    if (this.#over || socket === undefined || this.#unsent.length === 0) return;
    if (this.#unsentBytes <= originLimits.joinBytes) socket.write(joined(this.#unsent));
    else for (const bytes of this.#unsent) socket.write(bytes);
    this.#unsent.length = 0;
    this.#unsentBytes = 0;
    this.#stream.held(socket.queued);
    this.#progress();
  }

  #progress(): void {
    if (this.#status === 0 && !this.#over) this.#place.headDeadlines.set(this);
  }

  /** false: it is larger than a frame may carry, and the exchange has failed. */
  #sendHead(head: ReadResponseHead): boolean {
    // The version is this hop's own: an origin that speaks HTTP/1.0 says nothing about the visitor's side.
    const dropped = head.minor === 0 || head.status === 101 ? undefined : linesOfThisHop(head);
    const fields = dropped === undefined ? rewritten(head) : encodeHeadBytes(head, dropped, nothing);
    if (fields === undefined) {
      this.#fail("origin-invalid");
      return false;
    }
    this.#stream.head(fields);
    return true;
  }

  #upgrade(head: ReadResponseHead): void {
    const socket = this.#socket;
    if (socket === undefined || head.status !== 101 || !this.#wantsUpgrade || !this.#request.complete) {
      this.#fail("origin-invalid");
      return;
    }
    if (!this.#sendHead(head)) return;
    this.#over = true;
    const { pool } = this.#place;
    const first = socket.reader.detach();
    pool.surrender(socket);
    const origin = new SocketEnd(socket.socket, { broken: "origin-closed", first });
    splice(new StreamEnd(this.#stream), origin, ({ forth, back, code }) => {
      this.#tell(101, this.#request.bytes + forth, back, code);
    });
    if (this.#requestEnded) this.#stream.handler.end();
  }

  #fail(code: Code): void {
    if (this.#over) return;
    if (this.#answered && this.#socket !== undefined) {
      // The answer stands; the origin just wants no more of the upload.
      this.#keepSocket = false;
      this.#complete(this.#socket);
      return;
    }
    this.#stream.reset(code);
    this.#finish(code, codes[code].status ?? codes["stream-failed"].status ?? 502);
  }

  /** `status`: what the visitor gets where there was no final head. */
  #finish(code: Code, status: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#place.headDeadlines.clear(this);
    this.#unsent.length = 0;
    this.#cancelDial?.();
    if (this.#socket !== undefined) this.#place.pool.discard(this.#socket);
    this.#tell(this.#status === 0 ? status : this.#status, this.#request.bytes, this.#bytesOut, code);
  }

  #tell(status: number, bytesIn: number, bytesOut: number, code: Code | undefined): void {
    const ms = Math.round((this.#place.now() - this.#startedMs) * 10) / 10;
    const method = this.#method;
    const event = { event: "request", method, path: this.#target, status, ms, bytesIn, bytesOut } as const;
    this.#place.onRequest(code === undefined ? event : { ...event, code });
  }
}

/** The head fields of a response whose lines change; undefined: it is larger than a frame may carry. */
function rewritten(head: ResponseHead): Uint8Array | undefined {
  const fields = withoutHopByHop(head.fields, { keepUpgrade: head.status === 101 });
  const http = encodeLatin1(
    writeResponseHead({ status: head.status, reason: head.reason, minor: 1, fields }),
  );
  return http.length > limits.maxHttpHeadBytes ? undefined : encodeHead({ http });
}

/** May the socket be used again after this response? RFC 9112 section 9.3. */
function staysOpen(head: ReadResponseHead): boolean {
  return head.minor === 0 ? connectionNames(head, "keep-alive") : !connectionNames(head, "close");
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
