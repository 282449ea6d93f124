import type { Clock } from "../../shared/clock.ts";
import type { Code } from "../../shared/errors.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import { isNamed, type ResponseHead } from "../../shared/http1/head.ts";
import { withoutHopByHop } from "../../shared/http1/hop.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Memory } from "../../shared/mux/memory.ts";
import type { StreamHandler } from "../../shared/mux/stream.ts";
import { Passage, type PassageDeps } from "../../shared/passage.ts";
import { checkUpgradeRequest, newKey, refusalOfUpgrade } from "../../shared/websocket/upgrade.ts";
import { rewriteResponse } from "../prefix.ts";
import { TunnelWay, type WayDeps } from "../tunnel-way.ts";
import { type FetchHead, headersOf } from "./fetch-head.ts";
import type { FetchPlatform } from "./fetch-platform.ts";
import { FetchSink } from "./fetch-sink.ts";
import { openingFields, readAnswerHead, visitorCode, withoutOurs } from "./heads.ts";
import type { Lingering } from "./lingering.ts";
import { Upload } from "./upload.ts";
import { VisitorSocket } from "./visitor-socket.ts";

/** What an exchange needs of its ingress. */
export interface FetchSide {
  readonly clock: Clock;
  readonly platform: FetchPlatform;
  /** Where what waits for visitors and agents is counted. */
  readonly memory: Memory;
  readonly lingering: Lingering;
  /** No answer came from the origin: makes one for `code`. */
  refuse(exchange: FetchExchange, code: Code): Response;
  /** Both directions are over. Once, and only when `start` succeeded. */
  over(exchange: FetchExchange): void;
}

export interface FetchExchangeOptions {
  readonly name: string;
  readonly request: Request;
  readonly read: FetchHead;
  /** The target as the origin shall see it. */
  readonly target: string;
  readonly prefix: string | undefined;
  readonly scheme: "http" | "https";
  readonly startedMs: number;
}

/** Statuses that a Response must not have a body with (Fetch standard, "null body status"). */
const bodiless = new Set([204, 205, 304]);

/** For the log: nobody is there to read it. */
const goneStatus = 499;

/** One request of a visitor through a tunnel, and its answer, where the platform speaks Request and Response. */
export class FetchExchange implements StreamHandler {
  bytesOut = 0;
  /** The answer's status, once known. */
  status = 0;
  readonly response: Promise<Response>;
  private readonly answer: (response: Response) => void;
  private readonly passage: Passage;
  private started = false;
  private upload: Upload | undefined;
  private socketBytesIn = 0;
  private state: "waiting" | "body" | "socket" | "over" = "waiting";
  /** Body bytes of the answer still to come; infinite where it does not say. */
  private expected = Number.POSITIVE_INFINITY;
  private body: FetchSink | undefined;
  private reported = false;
  /** The Sec-WebSocket-Key towards the origin, when the visitor asks for a WebSocket. */
  private readonly key: string | undefined;
  private readonly protocols: readonly string[] = [];

  constructor(
    private readonly side: FetchSide,
    readonly options: FetchExchangeOptions,
    deps: PassageDeps & WayDeps,
  ) {
    this.passage = new Passage(deps, new TunnelWay(deps, options.name, "http", streamKinds.http), this);
    const { promise, resolve } = Promise.withResolvers<Response>();
    this.response = promise;
    this.answer = resolve;
    const asked = checkUpgradeRequest(options.read.head.fields);
    if (typeof asked === "string") return;
    // The platform has a handshake of its own with the visitor; this one is between us and the origin.
    this.key = newKey(crypto.getRandomValues(new Uint8Array(16)));
    this.protocols = asked.protocols;
  }

  get bytesIn(): number {
    return this.socketBytesIn + (this.upload?.bytes ?? 0);
  }

  /** Its stream counts among the open ones. */
  get opened(): boolean {
    return this.passage.opened;
  }

  /** Opens a stream, or waits for an agent. Returns the code of a refusal. */
  start(): Code | undefined {
    const { passage } = this;
    const { read, request, target, scheme, prefix } = this.options;
    const { head, remote, framing } = read;
    const upgrade = this.key !== undefined;
    const fields = upgrade ? this.upgradeFields() : head.fields;
    const opening = openingFields({ method: head.method, target, fields, upgrade, remote, scheme, prefix });
    if (opening === undefined) return "head-too-large";
    const refusal = passage.start(opening);
    if (refusal !== undefined) return refusal;
    this.started = true;
    // Not all platforms tell by the body's streams alone; some tell here after a complete exchange too.
    request.signal.addEventListener("abort", () => this.visitorGone());
    if (upgrade) return undefined;
    if (framing.kind === "none" || request.body === null) passage.sendEnd();
    else if (!passage.waits) this.beginUpload(request.body);
    return undefined;
  }

  // What comes from the agent.

  head(fields: Uint8Array): void {
    const found = readAnswerHead(fields, this.options.read.head.method);
    // A Response has no trailers, and nothing comes before it.
    if (found?.kind === "trailers" && this.state === "body") return;
    if (found?.kind !== "head" || this.state !== "waiting") return this.fault();
    const { head, framing } = found;
    try {
      if (head.status === 101) this.switchProtocols(head);
      else if (head.status >= 200) this.final(head, framing);
    } catch {
      // Response and Headers throw for what they can't carry: a status above 599, a field that is not UTF-8.
      this.fault();
    }
  }

  data(bytes: Uint8Array): void {
    this.expected -= bytes.length;
    if (this.expected < 0 || this.state === "waiting") return this.fault();
    const { body, passage } = this;
    if (body === undefined || this.state !== "body") {
      passage.held(0);
      return;
    }
    this.bytesOut += bytes.length;
    passage.held(body.write(bytes));
  }

  end(): void {
    if (this.state === "waiting" || (Number.isFinite(this.expected) && this.expected > 0))
      return this.fault();
    if (this.state === "over") return;
    this.state = "over";
    // A visitor that goes now has had its answer; who aborts before reading all of it is not told from that.
    const { body } = this;
    if (body !== undefined) {
      body.end();
      this.side.lingering.add(body);
    }
    this.report();
  }

  left(): void {}

  reset(code: Code): void {
    this.upload?.stop();
    this.fail(code);
  }

  writable(): void {
    const { body } = this.options.request;
    if (this.upload !== undefined) this.upload.writable();
    // An agent has come.
    else if (this.key === undefined && body !== null && this.state === "waiting") this.beginUpload(body);
  }

  // What comes from the visitor.

  private beginUpload(body: ReadableStream<Uint8Array>): void {
    if (this.options.read.framing.kind === "none") return;
    this.upload = new Upload(this.passage, body, this.side.memory, () => this.uploadBroken());
  }

  /** He went away, or what he sent can't be read: then he is there to be told. */
  private uploadBroken(): void {
    if (this.state !== "waiting") return this.visitorGone();
    this.passage.cancel("cancelled");
    this.fail("request-invalid");
  }

  private visitorGone(): void {
    // A WebSocket's own events tell of its end.
    if (this.passage.closed || this.state === "socket") return;
    // An upload that the platform cuts after a complete answer ends here too.
    this.passage.cancel("cancelled");
    this.upload?.stop();
    if (this.state === "waiting") {
      this.status = goneStatus;
      this.answer(this.side.platform.respond(null, goneStatus, "", new Headers()));
    }
    this.state = "over";
    this.body?.destroy();
    this.report();
  }

  /** The visitor's fields with an upgrade of our own: extensions are agreed with whoever handles the frames. */
  private upgradeFields(): string[] {
    const { fields } = this.options.read.head;
    const kept: string[] = [];
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const name = fields[i] ?? "";
      if (!isNamed(name, "sec-websocket-extensions") && !isNamed(name, "sec-websocket-key"))
        kept.push(name, fields[i + 1] ?? "");
    }
    return [...kept, "Sec-WebSocket-Key", this.key ?? ""];
  }

  private switchProtocols(head: ResponseHead): void {
    const { key } = this;
    const { stream } = this.passage;
    if (stream === undefined || key === undefined) return this.fault();
    if (refusalOfUpgrade(head.fields, key, this.protocols) !== undefined) return this.fault();
    const fields: string[] = [];
    for (let i = 0; i + 1 < head.fields.length; i += 2) {
      const name = head.fields[i] ?? "";
      if (isNamed(name, "connection") || isNamed(name, "upgrade") || isNamed(name, "sec-websocket-accept"))
        continue;
      fields.push(name, head.fields[i + 1] ?? "");
    }
    const { socket, response } = this.side.platform.upgrade(headersOf(fields, this.side.platform.fieldText));
    this.status = 101;
    this.state = "socket";
    stream.handler = new VisitorSocket(socket, stream, this.side, {
      sent: (bytes) => (this.bytesOut += bytes),
      received: (bytes) => (this.socketBytesIn += bytes),
      over: () => this.report(),
    });
    this.answer(response);
  }

  private final(head: ResponseHead, framing: Framing): void {
    const { read, prefix } = this.options;
    const { status } = head;
    let fields = withoutOurs(withoutHopByHop(head.fields, { keepUpgrade: false }));
    if (prefix !== undefined) fields = rewriteResponse(fields, prefix, read.host);
    const headers = headersOf(fields, this.side.platform.fieldText);
    headers.delete("transfer-encoding");
    headers.delete("trailer");
    const length = framing.kind === "length" ? framing.bytes : undefined;
    let readable: ReadableStream<Uint8Array> | null = null;
    if (framing.kind === "none") this.expected = 0;
    else if (length !== undefined) this.expected = length;
    if (this.expected > 0 && !bodiless.has(status)) {
      const pipe = this.side.platform.bodyPipe(length);
      readable = pipe.readable;
      const sink = new FetchSink(pipe.writable, { held: this.side.memory.onCredit });
      sink.handler = {
        drained: () => this.passage.held(sink.queued),
        closed: () => {
          this.side.lingering.remove(sink);
          if (!sink.isComplete) this.visitorGone();
        },
      };
      this.body = sink;
    }
    const response = this.side.platform.respond(readable, status, head.reason, headers);
    this.status = status;
    this.state = "body";
    this.answer(response);
    // A refused upgrade: nothing more will come of the visitor.
    if (this.key !== undefined) this.passage.sendEnd();
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
    if (state === "waiting") {
      const response = this.side.refuse(this, visitorCode(code));
      this.status = response.status;
      this.answer(response);
    } else if (state === "body") {
      this.body?.destroy(new Error(code));
    }
    this.report();
  }

  private report(): void {
    if (this.reported || !this.started) return;
    this.reported = true;
    this.side.over(this);
  }
}
