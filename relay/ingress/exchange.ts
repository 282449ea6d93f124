import type { Code } from "../../shared/errors.ts";
import { encodeHead } from "../../shared/head.ts";
import { lastChunk } from "../../shared/http1/chunked.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import { isNamed, type ResponseHead, writeFields, writeResponseHead } from "../../shared/http1/head.ts";
import { closeHead } from "../../shared/http1/head-bytes.ts";
import { connectionNames, hasMark, withoutHopByHop } from "../../shared/http1/hop.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { maxInterimHeads } from "../../shared/http1/limits.ts";
import { Mark } from "../../shared/http1/marks.ts";
import type { ReadRequestHead, ReadResponseHead } from "../../shared/http1/read-head.ts";
import type { StreamHandler } from "../../shared/mux/stream.ts";
import { Passage, type PassageDeps } from "../../shared/passage.ts";
import { rewriteResponse } from "../prefix.ts";
import type { TunnelWay } from "../tunnel-way.ts";
import {
  allowedTrailers,
  isForVisitors,
  openingBytes,
  openingFields,
  readAnswerHead,
  visitorCode,
  withoutOurs,
} from "./heads.ts";
import type { VisitorAddress } from "./visitor-address.ts";

/** What an exchange needs of the visitor's socket. */
export interface VisitorSide {
  /** Who he is, and what is told of him to origins. */
  readonly address: VisitorAddress;
  /** No other request will be read on this socket: an answer says so. */
  readonly closing: boolean;
  /** Bytes written that have not left. */
  readonly queued: number;
  write(bytes: Uint8Array): void;
  /** The upload may go on. */
  resume(): void;
  /** The answer is through. */
  done(exchange: Exchange, options: { readonly keepAlive: boolean }): void;
  /** No answer came from the origin: give one for `code`. */
  refuse(exchange: Exchange, code: Code): void;
  /** The answer is through; the rest of the upload may take as long as an idle socket may. */
  awaitMore(): void;
  /** The answer broke off: end so that the visitor can tell. */
  abort(exchange: Exchange): void;
  /** From here on the socket's bytes are the new protocol's; what has come of it already is handed to `requestBody`. */
  switchProtocols(exchange: Exchange): void;
  /** FIN, after what is queued. */
  halfClose(): void;
}

export interface ExchangeOptions {
  readonly way: TunnelWay;
  readonly head: ReadRequestHead;
  /** The Host field's value; "" where there is none. */
  readonly host: string;
  readonly framing: Framing;
  /** The target as the origin shall see it. */
  readonly target: string;
  readonly prefix: string | undefined;
  readonly scheme: "http" | "https";
  readonly startedMs: number;
}

/** No 1xx head is added to more than this: they are hints, and the visitor does not read. */
const maxQueuedInterimBytes = 65_536;
const crlf = encodeLatin1("\r\n");
const none: readonly string[] = [];

/** One request of a visitor through a tunnel, and its answer. `StreamHandler`: what comes from the agent. */
export class Exchange implements StreamHandler {
  bytesIn = 0;
  bytesOut = 0;
  /** The whole answer has been written, but the upload goes on. */
  get answered(): boolean {
    return this.state === "answered";
  }
  /** The answer's status, once known. */
  status = 0;
  private readonly passage: Passage;
  /** `answered`: the answer is through, and the rest of the upload still goes to the origin, as it would without us. */
  private state: "waiting" | "body" | "raw" | "answered" | "over" = "waiting";
  /** Body bytes of the answer still to come; infinite where it does not say. */
  private expected = Number.POSITIVE_INFINITY;
  private chunks = false;
  private keepAlive: boolean;
  private trailers: readonly string[] = none;
  private interims = 0;
  private requestComplete = false;
  private readonly upgrade: boolean;

  constructor(
    private readonly visitor: VisitorSide,
    readonly options: ExchangeOptions,
    deps: PassageDeps,
  ) {
    this.passage = new Passage(deps, options.way, this);
    const { head, framing } = options;
    this.upgrade = framing.kind === "none" && head.minor === 1 && hasMark(head, Mark.upgrade);
    this.keepAlive = head.minor === 1 ? !connectionNames(head, "close") : connectionNames(head, "keep-alive");
  }

  /** Opens a stream, or waits for an agent. Returns the code of a refusal. */
  start(): Code | undefined {
    const { head, host, target } = this.options;
    const { forwarded } = this.visitor.address;
    const asItCame = target === head.target && head.minor === 1 && !this.upgrade;
    const opening = (asItCame ? openingBytes(head, host, forwarded) : undefined) ?? this.openingAnew();
    return opening === undefined ? "head-too-large" : this.passage.start(opening);
  }

  private openingAnew(): Uint8Array | undefined {
    const { head, target, scheme, prefix } = this.options;
    const { method, fields } = head;
    const { remote } = this.visitor.address;
    return openingFields({ method, target, fields, upgrade: this.upgrade, remote, scheme, prefix });
  }

  /** No agent is there: the rest of the request stays where it is until `visitor.resume`. */
  get waits(): boolean {
    return this.passage.waits;
  }
  /** Its stream counts among the open ones. */
  get opened(): boolean {
    return this.passage.opened;
  }

  // What comes from the visitor.

  /** false: no more until `visitor.resume`. */
  requestBody(bytes: Uint8Array): boolean {
    this.bytesIn += bytes.length;
    return this.passage.write(bytes);
  }

  requestTrailers(fields: string[]): void {
    this.passage.sendTrailers(encodeHead({ trailers: encodeLatin1(writeFields(allowedTrailers(fields))) }));
  }

  requestEnd(): void {
    this.requestComplete = true;
    // Until the origin has answered an upgrade, nobody knows what the bytes to come are.
    if (!this.upgrade) this.passage.sendEnd();
    if (this.state === "answered") this.complete();
  }

  /** FIN from the visitor. */
  visitorLeft(): void {
    // What comes after an upgrade is not complete before it has begun.
    if (!this.requestComplete || (this.upgrade && this.state === "waiting")) {
      this.visitorGone();
      this.visitor.abort(this);
      return;
    }
    this.passage.sendEnd();
    if (this.state !== "raw") this.passage.sendLeft();
  }

  visitorGone(): void {
    this.state = "over";
    this.passage.cancel("cancelled");
  }

  visitorDrained(): void {
    this.passage.held(this.visitor.queued);
  }

  // What comes from the agent.

  head(fields: Uint8Array): void {
    const found = readAnswerHead(fields, this.options.head.method);
    if (found?.kind === "trailers") return this.takeTrailers(found.fields);
    if (found === undefined || this.state !== "waiting") return this.fault();
    const { head, framing } = found;
    if (head.status === 101) this.switchProtocols(head);
    else if (head.status < 200) this.interim(head);
    else this.final(head, framing);
  }

  data(bytes: Uint8Array): void {
    const { visitor } = this;
    this.expected -= bytes.length;
    if (this.expected < 0 || this.state === "waiting") return this.fault();
    if (this.state !== "body" && this.state !== "raw") return;
    this.bytesOut += bytes.length;
    visitor.write(this.chunks ? chunk(bytes) : bytes);
    this.passage.held(visitor.queued);
  }

  end(): void {
    const { visitor } = this;
    if (this.state === "raw") {
      visitor.halfClose();
      return;
    }
    if (this.state === "waiting" || (Number.isFinite(this.expected) && this.expected > 0))
      return this.fault();
    if (this.state !== "body") return;
    if (this.chunks) visitor.write(encodeLatin1(lastChunk(this.trailers)));
    this.state = "answered";
    if (this.upgrade) this.passage.sendEnd();
    if (this.requestComplete || !this.keepAlive) this.complete();
    else visitor.awaitMore();
  }

  left(): void {}

  reset(code: Code): void {
    if (this.state === "answered") this.complete();
    else this.fail(code);
  }

  writable(): void {
    this.visitor.resume();
  }

  private complete(): void {
    this.state = "over";
    if (!this.requestComplete) this.passage.cancel("cancelled");
    this.visitor.done(this, { keepAlive: this.keepAlive && this.requestComplete });
  }

  private takeTrailers(fields: string[]): void {
    if (this.state !== "body" || this.trailers.length > 0) return this.fault();
    this.trailers = withoutOurs(fields);
  }

  private switchProtocols(head: ResponseHead): void {
    if (!this.upgrade) return this.fault();
    this.status = 101;
    this.state = "raw";
    this.writeHead(head, withoutOurs(withoutHopByHop(head.fields, { keepUpgrade: true })));
    this.visitor.switchProtocols(this);
  }

  private interim(head: ResponseHead): void {
    // Nothing slows an agent that sends heads to a visitor who does not read.
    if (++this.interims > maxInterimHeads) return this.fault();
    if (this.options.head.minor === 0 || this.visitor.queued > maxQueuedInterimBytes) return;
    this.writeHead(head, cleaned(head));
  }

  private final(head: ReadResponseHead, framing: Framing): void {
    const { head: request, host, prefix } = this.options;
    // An upload that goes on does so beyond its answer; the socket is closed later.
    if (this.visitor.closing && this.requestComplete) this.keepAlive = false;
    this.status = head.status;
    this.state = "body";
    // undefined: they are as they came.
    let fields = isForVisitors(head) && head.minor === 1 ? undefined : cleaned(head);
    if (prefix !== undefined) {
      const found = fields ?? head.fields;
      const rewritten = rewriteResponse(found, prefix, host);
      if (rewritten !== found) fields = rewritten;
    }
    const added: string[] = [];
    if (framing.kind === "none") this.expected = 0;
    else if (framing.kind === "length") this.expected = framing.bytes;
    else if (request.minor === 0) {
      this.keepAlive = false;
      fields = withoutTransferEncoding(fields ?? head.fields);
    } else {
      this.chunks = true;
      if (framing.kind === "until-close") added.push("Transfer-Encoding", "chunked");
    }
    // An upload that is still going on would have to be read to its end first.
    if (!this.keepAlive) added.push("Connection", "close");
    else if (request.minor === 0) added.push("Connection", "keep-alive");
    if (fields === undefined) this.visitor.write(closeHead(head, writeFields(added)));
    else this.writeHead(head, [...fields, ...added]);
    if (this.upgrade) this.passage.sendEnd();
  }

  private writeHead({ status, reason }: ResponseHead, fields: string[]): void {
    this.visitor.write(encodeLatin1(`${writeResponseHead({ status, reason, minor: 1, fields })}\r\n`));
  }

  /** The agent broke a rule of PROTOCOL.md section 7. */
  private fault(): void {
    if (this.state === "over") return;
    this.passage.cancel("head-invalid");
    this.fail("origin-invalid");
  }

  private fail(code: Code): void {
    const { state } = this;
    this.state = "over";
    if (state === "waiting") this.visitor.refuse(this, visitorCode(code));
    else if (state !== "over") this.visitor.abort(this);
  }
}

/** What a visitor may see of an answer's fields. */
function cleaned({ fields }: ResponseHead): string[] {
  return withoutOurs(withoutHopByHop(fields, { keepUpgrade: false }));
}

function chunk(bytes: Uint8Array): Uint8Array {
  const size = encodeLatin1(`${bytes.length.toString(16)}\r\n`);
  const framed = new Uint8Array(size.length + bytes.length + 2);
  framed.set(size);
  framed.set(bytes, size.length);
  framed.set(crlf, size.length + bytes.length);
  return framed;
}

function withoutTransferEncoding(fields: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2)
    if (!isNamed(fields[i], "transfer-encoding")) kept.push(fields[i] ?? "", fields[i + 1] ?? "");
  return kept;
}
