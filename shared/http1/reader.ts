import { ChunkedDecoder } from "./chunked.ts";
import { HttpFault, type HttpFaultCode } from "./fault.ts";
import { type Framing, requestFraming, responseFraming } from "./framing.ts";
import { maxEmptyLines, maxHeadBytes, maxInterimHeads } from "./limits.ts";
import { HeadPieces } from "./pieces.ts";
import {
  parseRequestHead,
  parseResponseHead,
  type ReadRequestHead,
  type ReadResponseHead,
} from "./read-head.ts";

export type Side = "request" | "response";
export type HeadOf<S extends Side> = S extends "request" ? ReadRequestHead : ReadResponseHead;

/** Who gets what `HttpReader` reads. All calls come from inside push, finish, next or expect. */
export interface HttpReaderHandler<Head> {
  /**
   * A head, which refers to what was pushed. A response's 1xx heads come here too, with framing `none`, and the final
   * head follows.
   */
  head(head: Head, framing: Framing): void;
  /** Body bytes without framing: a view of what was pushed. */
  body(bytes: Uint8Array): void;
  /** Trailers of a chunked body; only when there are some. */
  trailers(fields: string[]): void;
  /** The message is complete. Not called for `tunnel`. */
  end(): void;
  /** The bytes can't be read as HTTP, or stop in mid-message. Nothing comes after. */
  fault(fault: HttpFault): void;
}

/** Where the reader is. `rest`: it reads no more by itself (a request held back, another protocol's bytes). */
type State = "idle" | "head" | "length" | "chunked" | "until-close" | "rest" | "over";

const CR = 13;
const LF = 10;
const nothing = new Uint8Array(0);

/**
 * Reads one side of one socket: bytes are pushed in, heads and bodies come out. Requests are read one at a time:
 * after `end` what follows (pipelining) is held until `next`; stop pushing (pause the socket) while `heldBytes` is
 * more than a little. Responses are read only when one is expected. Never throws for what a peer sent.
 */
export class HttpReader<S extends Side> {
  readonly #side: S;
  readonly #handler: HttpReaderHandler<HeadOf<S>>;
  readonly #code: HttpFaultCode;
  #state: State;
  /** What is being read, and from where. */
  #chunk: Uint8Array = nothing;
  #at = 0;
  /** What was pushed while the state was `rest`. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  readonly #pieces: HeadPieces;
  #emptyLines = 0;
  #emptyCr = false;
  #interims = 0;
  #method = "";
  #left = 0;
  #decoder: ChunkedDecoder | undefined;
  #running = false;
  #finished = false;
  #tunnel = false;
  #surplus = false;

  constructor(
    side: S,
    handler: HttpReaderHandler<HeadOf<S>>,
    limits: { readonly maxHeadBytes: number } = { maxHeadBytes },
  ) {
    this.#side = side;
    this.#handler = handler;
    this.#pieces = new HeadPieces(limits.maxHeadBytes);
    this.#code = side === "request" ? "request-invalid" : "origin-invalid";
    this.#state = side === "request" ? "head" : "idle";
  }

  /** Bytes pushed that have not been read: pipelined requests, or what followed an upgrade. */
  get heldBytes(): number {
    return this.#heldBytes + (this.#chunk.length - this.#at);
  }

  /** No byte of a message has come that is not complete: the socket may be closed, or used again. */
  get between(): boolean {
    if (this.#state === "head") return this.#side === "request" && this.#pieces.bytes === 0;
    return this.#state === "idle" || (this.#state === "rest" && !this.#tunnel);
  }

  /** More came than the response that was expected. Known inside `end`; `fault` follows it. */
  get surplus(): boolean {
    return this.#surplus;
  }

  /** Takes bytes; they must not be changed after. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#state === "over") return;
    if (this.#running || this.#state === "rest" || this.#at < this.#chunk.length) {
      this.#held.push(bytes);
      this.#heldBytes += bytes.length;
      return;
    }
    this.#chunk = bytes;
    this.#at = 0;
    this.#run();
  }

  /** The peer has half-closed. A message that it ends (`until-close`) is complete, one that it cuts off is a fault. */
  finish(): void {
    if (this.#finished || this.#state === "over") return;
    this.#finished = true;
    this.#run();
  }

  /** Requests: the answer to the one that ended is through; read on. */
  next(): void {
    if (this.#state !== "rest" || this.#tunnel || this.#side !== "request") return;
    this.#state = "head";
    this.#run();
  }

  /** Responses: the next bytes answer a request with `method`. Only when the one before has ended. */
  expect(method: string): void {
    if (this.#state !== "idle") return;
    this.#method = method;
    this.#interims = 0;
    this.#state = "head";
    if (this.#finished) this.#run();
  }

  /** Ends the reader and returns what it has not read: after an upgrade the first bytes of the new protocol. */
  detach(): Uint8Array {
    const rest = this.#chunk.subarray(this.#at);
    const held = this.#held;
    const length = rest.length + this.#heldBytes;
    this.#stop();
    if (held.length === 0) return rest;
    const all = new Uint8Array(length);
    all.set(rest);
    let at = rest.length;
    for (const bytes of held) {
      all.set(bytes, at);
      at += bytes.length;
    }
    return all;
  }

  #run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#refill()) this.#step();
      // An idle socket must not pin the last large buffer that it read.
      if (this.#at >= this.#chunk.length) this.#release();
      if (this.#finished) this.#finish();
    } finally {
      this.#running = false;
    }
  }

  #release(): void {
    this.#chunk = nothing;
    this.#at = 0;
  }

  /** Is there something to read that the state lets us read? */
  #refill(): boolean {
    if (this.#state === "rest" || this.#state === "over") return false;
    if (this.#at < this.#chunk.length) return true;
    const bytes = this.#held.shift();
    this.#chunk = bytes ?? nothing;
    this.#at = 0;
    this.#heldBytes -= this.#chunk.length;
    return bytes !== undefined;
  }

  #step(): void {
    switch (this.#state) {
      case "idle":
        this.#fail("Bytes came that answer no request.");
        break;
      case "head":
        this.#readHead();
        break;
      case "length": {
        const to = Math.min(this.#chunk.length, this.#at + this.#left);
        this.#left -= to - this.#at;
        this.#deliver(to);
        if (this.#left === 0 && this.#state === "length") this.#complete();
        break;
      }
      case "until-close":
        this.#deliver(this.#chunk.length);
        break;
      case "chunked":
        this.#readChunked();
        break;
    }
  }

  #deliver(to: number): void {
    const from = this.#at;
    this.#at = to;
    this.#handler.body(
      from === 0 && to === this.#chunk.length ? this.#chunk : this.#chunk.subarray(from, to),
    );
  }

  #readChunked(): void {
    const decoder = this.#decoder;
    if (decoder === undefined) return;
    const chunk = this.#chunk;
    decoder.at = this.#at;
    const event = decoder.next(chunk);
    this.#at = decoder.at;
    if (event === "data") this.#handler.body(chunk.subarray(decoder.dataFrom, decoder.at));
    else if (event === "fault") this.#give(decoder.fault);
    else if (event === "done") {
      if (decoder.trailers.length > 0) this.#handler.trailers(decoder.trailers);
      if (this.#state === "chunked") this.#complete();
    }
  }

  #readHead(): void {
    if (this.#side === "request" && this.#pieces.bytes === 0 && !this.#skipEmptyLines()) return;
    const found = this.#pieces.take(this.#chunk, this.#at);
    this.#at = this.#pieces.at;
    if (found === "bare-lf") this.#fail("A line of the head does not end in CRLF.");
    else if (found === "too-large") this.#tooLarge();
    else if (found === "found") {
      const { head, headFrom, headTo } = this.#pieces;
      this.#pieces.drop();
      this.#parseHead(head, headFrom, headTo);
    }
  }

  /** RFC 9112 section 2.2. False when there is no head to read yet, or never will be. */
  #skipEmptyLines(): boolean {
    const chunk = this.#chunk;
    while (this.#at < chunk.length) {
      const byte = chunk[this.#at];
      if (this.#emptyCr) {
        if (byte !== LF) {
          this.#fail("A CR without LF before the request.");
          return false;
        }
        this.#emptyCr = false;
      } else if (byte !== CR) {
        return true;
      } else {
        this.#emptyCr = true;
        if (++this.#emptyLines > maxEmptyLines) {
          this.#fail("Empty lines instead of a request.");
          return false;
        }
      }
      this.#at++;
    }
    return false;
  }

  #parseHead(bytes: Uint8Array, from: number, to: number): void {
    this.#emptyLines = 0;
    if (this.#side === "request") {
      const head = parseRequestHead(bytes, from, to);
      if (head instanceof HttpFault) this.#give(head);
      else this.#begin(head as HeadOf<S>, requestFraming(head));
      return;
    }
    const head = parseResponseHead(bytes, from, to);
    if (head instanceof HttpFault) {
      this.#give(head);
      return;
    }
    const framing = responseFraming(head, this.#method);
    if (head.status >= 200 || head.status === 101 || framing instanceof HttpFault) {
      this.#begin(head as HeadOf<S>, framing);
    } else if (++this.#interims > maxInterimHeads) {
      this.#fail("Too many 1xx heads.");
    } else {
      this.#handler.head(head as HeadOf<S>, framing);
    }
  }

  #begin(head: HeadOf<S>, framing: Framing | HttpFault): void {
    if (framing instanceof HttpFault) {
      this.#give(framing);
      return;
    }
    switch (framing.kind) {
      case "none":
        this.#state = "length";
        this.#left = 0;
        break;
      case "length":
        this.#state = "length";
        this.#left = framing.bytes;
        break;
      case "chunked":
        this.#state = "chunked";
        this.#decoder = new ChunkedDecoder(this.#code);
        break;
      case "until-close":
        this.#state = "until-close";
        break;
      case "tunnel":
        this.#state = "rest";
        this.#tunnel = true;
        break;
    }
    this.#handler.head(head, framing);
    if (this.#state === "length" && this.#left === 0) this.#complete();
  }

  #complete(): void {
    this.#decoder = undefined;
    if (this.#side === "request") {
      this.#state = "rest";
      this.#handler.end();
      return;
    }
    this.#surplus = this.heldBytes > 0;
    // With a surplus nothing may be expected any more: what is there answers no request.
    this.#state = this.#surplus ? "over" : "idle";
    this.#handler.end();
    if (this.#surplus) this.#give(new HttpFault("origin-invalid", "More bytes came than the response has."));
  }

  #finish(): void {
    switch (this.#state) {
      case "idle":
      case "rest":
      case "over":
        return;
      case "until-close":
        this.#complete();
        return;
      case "head":
        if (this.#side === "request" && this.#pieces.bytes === 0) {
          this.#state = "over";
          return;
        }
    }
    const code = this.#side === "request" ? "request-invalid" : "origin-closed";
    this.#give(new HttpFault(code, "The message was cut off."));
  }

  #tooLarge(): void {
    this.#give(
      new HttpFault(this.#side === "request" ? "head-too-large" : "origin-invalid", "The head is too large."),
    );
  }

  #fail(message: string): void {
    this.#give(new HttpFault(this.#code, message));
  }

  #give(fault: HttpFault | undefined): void {
    this.#stop();
    this.#handler.fault(fault ?? new HttpFault(this.#code, "The message can't be read."));
  }

  #stop(): void {
    this.#state = "over";
    this.#chunk = nothing;
    this.#at = 0;
    this.#held = [];
    this.#heldBytes = 0;
    this.#pieces.drop();
    this.#decoder = undefined;
  }
}
