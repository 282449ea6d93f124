import { type Code, codes } from "../../shared/errors.ts";
import { HttpFault } from "../../shared/http1/fault.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import { fieldValue } from "../../shared/http1/head.ts";
import { Mark } from "../../shared/http1/marks.ts";
import type { ReadRequestHead } from "../../shared/http1/read-head.ts";
import { HttpReader } from "../../shared/http1/reader.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Socket, SocketHandler } from "../../shared/socket.ts";
import type { AnswerContext } from "../answer-context.ts";
import { answer } from "../answers.ts";
import { TunnelWay } from "../tunnel-way.ts";
import { account } from "./account.ts";
import { Exchange, type VisitorSide } from "./exchange.ts";
import type { HttpIngressDeps } from "./ingress-deps.ts";
import { ingressLimits } from "./limits.ts";
import { originForm } from "./request-target.ts";
import { VisitorAddress } from "./visitor-address.ts";
import { staysOpen, wholeAnswer } from "./whole-answer.ts";

/** What a visitor's socket needs of the ingress that it belongs to. */
export interface VisitorPlace {
  readonly deps: HttpIngressDeps;
  /** The socket is gone, or somebody else's now. */
  forget(visitor: HttpVisitor): void;
}

/** One socket of a visitor: its requests, one after the other. */
export class HttpVisitor implements SocketHandler, VisitorSide {
  /** When it has waited too long; infinite while a request is under way. */
  deadlineMs: number;
  private readonly reader: HttpReader<"request">;
  private exchange: Exchange | undefined;
  private way: TunnelWay | undefined;
  readonly address: VisitorAddress;
  /** A request on the relay's own host is being answered. */
  private own = false;
  private ownBody: ((bytes: Uint8Array | undefined) => void) | undefined;
  /** The link whose POSTs come on this socket. */
  private posts: { readonly isOpen: boolean } | undefined;
  private mode: "http" | "raw" | "lingering" | "handed-on" = "http";
  private lingered = 0;
  private halfClosed = false;
  private gone = false;

  constructor(
    private readonly socket: Socket,
    private readonly ingress: VisitorPlace,
  ) {
    this.reader = new HttpReader("request", {
      head: (head, framing) => this.requestHead(head, framing),
      body: (bytes) => this.requestBody(bytes),
      trailers: (fields) => this.exchange?.requestTrailers(fields),
      end: () => this.requestEnd(),
      fault: (fault) => this.requestFault(fault),
    });
    this.deadlineMs = ingress.deps.clock.now() + ingressLimits.headWithinMs;
    this.address = new VisitorAddress(socket.remote, ingress.deps);
    socket.handler = this;
  }

  get busy(): boolean {
    return this.exchange !== undefined || this.own;
  }
  /** A link needs the socket as long as it lives: no reason to wait for it, nor to close it. */
  get lasts(): boolean {
    return this.exchange === undefined && this.posts?.isOpen === true;
  }
  get closing(): boolean {
    return this.ingress.deps.ownHost.draining();
  }
  get queued(): number {
    return this.socket.queued;
  }

  // SocketHandler

  data(bytes: Uint8Array): void {
    switch (this.mode) {
      case "http": {
        const { reader } = this;
        // The clock of a head starts with its first byte.
        if (reader.between && !this.busy)
          this.deadlineMs = this.ingress.deps.clock.now() + ingressLimits.headWithinMs;
        // A link's POST may be large, and the way slow.
        else if (this.posts !== undefined && this.ownBody !== undefined)
          this.deadlineMs = this.ingress.deps.clock.now() + ingressLimits.headWithinMs;
        // Nothing else is under way but the rest of an upload, which may never come.
        else if (this.exchange?.answered === true) this.awaitMore();
        reader.push(bytes);
        if (reader.heldBytes > ingressLimits.maxHeldBytes) this.socket.pause();
        return;
      }
      case "raw":
        this.requestBody(bytes);
        return;
      case "lingering":
        this.lingered += bytes.length;
        this.deadlineMs = Math.min(this.deadlineMs, this.ingress.deps.clock.now() + ingressLimits.lingerMs);
        if (this.lingered > ingressLimits.maxLingerBytes) this.socket.destroy();
    }
  }

  drained(): void {
    this.exchange?.visitorDrained();
    if (this.mode === "lingering" && this.lingered === 0) this.awaitMore();
  }

  ended(): void {
    this.halfClosed = true;
    if (this.mode === "http") this.reader.finish();
    if (this.exchange !== undefined) this.exchange.visitorLeft();
    else if (this.mode !== "handed-on" && !this.own) this.halfClose();
  }

  closed(): void {
    this.gone = true;
    this.ingress.forget(this);
    // A body that broke off is nobody's request.
    this.ownBody = undefined;
    const { exchange } = this;
    if (exchange === undefined) return;
    exchange.visitorGone();
    this.report(exchange);
  }

  // VisitorSide

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  resume(): void {
    if (this.exchange?.answered === true) this.awaitMore();
    this.socket.resume();
  }

  done(exchange: Exchange, options: { readonly keepAlive: boolean }): void {
    this.report(exchange);
    // An answer that promised to keep the socket is held to it: the next request may be under way.
    if (!options.keepAlive || this.halfClosed) this.linger();
    else this.nextRequest();
  }

  refuse(exchange: Exchange, code: Code): void {
    const { options } = exchange;
    const keepAlive = this.giveAnswer(code, options.head, options.framing, { name: options.way.tunnel });
    exchange.status = codes[code].status ?? 500;
    this.report(exchange);
    if (keepAlive) this.nextRequest();
    else this.linger();
  }

  awaitMore(): void {
    this.deadlineMs = this.ingress.deps.clock.now() + ingressLimits.idleMs;
  }

  abort(exchange: Exchange): void {
    this.report(exchange);
    this.socket.destroy();
  }

  switchProtocols(exchange: Exchange): void {
    this.mode = "raw";
    const early = this.reader.detach();
    if (early.length > 0 && !exchange.requestBody(early)) this.socket.pause();
    else this.socket.resume();
    if (this.halfClosed) exchange.visitorLeft();
  }

  halfClose(): void {
    this.socket.end();
  }

  // What the ingress does.

  timeOut(): void {
    if (this.exchange?.answered === true) {
      this.requestFault(new HttpFault("request-invalid", "The rest of the upload did not come in time."));
      return;
    }
    if (this.reader.between || this.mode !== "http") {
      this.socket.destroy();
      return;
    }
    this.giveAnswer("request-timeout", undefined, undefined, {});
    this.linger();
  }

  /** FIN where no request has begun; one that comes after all is dropped unread, and safe to send elsewhere. */
  retire(): void {
    if (!this.busy && this.mode === "http" && this.reader.between) this.linger();
  }

  destroy(): void {
    this.socket.destroy();
  }

  // HttpReader's handler

  private requestHead(head: ReadRequestHead, framing: Framing): void {
    const { deps } = this.ingress;
    this.posts = undefined;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const host = head.firstOf(Mark.host) ?? "";
    const target = originForm(head, host);
    if (target === undefined)
      return this.refuseRequest(
        head.method === "CONNECT" ? "method-refused" : "request-invalid",
        head,
        framing,
        {},
      );
    const route = deps.router.route(host, target);
    switch (route.kind) {
      case "own":
        return this.toOwnHost(head, framing, target);
      case "unknown":
        return this.refuseRequest("unknown-host", head, framing, {});
      case "redirect":
        return this.redirect(route.location, head, framing);
    }
    const { name } = route;
    this.address.learn(head);
    const exchange = new Exchange(
      this,
      {
        way: this.wayTo(name),
        head,
        host,
        framing,
        target: route.target,
        prefix: route.prefix,
        scheme: deps.scheme,
        startedMs: deps.clock.now(),
      },
      deps,
    );
    const refusal = exchange.start();
    if (refusal !== undefined) return this.refuseRequest(refusal, head, framing, { name });
    if (exchange.waits && framing.kind !== "none") this.socket.pause();
    this.exchange = exchange;
  }

  /** Nearly all requests of a socket go the same way. */
  private wayTo(name: string): TunnelWay {
    if (this.way?.tunnel !== name)
      this.way = new TunnelWay(this.ingress.deps, name, "http", streamKinds.http);
    return this.way;
  }

  private requestBody(bytes: Uint8Array): void {
    if (this.ownBody !== undefined) this.ownBody(bytes);
    else if (this.exchange?.requestBody(bytes) === false) this.socket.pause();
  }

  private requestEnd(): void {
    const body = this.ownBody;
    this.ownBody = undefined;
    if (body !== undefined) {
      // A POST that overtook another waits for it, no longer than its link lets it.
      if (this.posts !== undefined) this.deadlineMs = Number.POSITIVE_INFINITY;
      body(undefined);
    } else if (this.exchange !== undefined) {
      this.exchange.requestEnd();
      // Nothing more is to be read of it, and a visitor who leaves shall be heard.
      if (this.exchange?.waits === true) this.socket.resume();
    } else if (this.mode === "http" && !this.own) this.nextRequest();
  }

  private requestFault(fault: HttpFault): void {
    const { exchange } = this;
    if (exchange !== undefined) {
      const { answered } = exchange;
      exchange.visitorGone();
      this.report(exchange);
      // An answer that is through is still to be read.
      if (answered) this.linger();
      else this.socket.destroy();
      return;
    }
    this.ownBody = undefined;
    this.own = false;
    this.giveAnswer(fault.code, undefined, undefined, { detail: fault.message });
    this.linger();
  }

  // Answers of the relay itself

  private toOwnHost(head: ReadRequestHead, framing: Framing, target: string): void {
    const { ownHost } = this.ingress.deps;
    this.own = true;
    // The control plane's requests are small: whoever is slower than a head may be holds a socket for nothing.
    this.deadlineMs = this.ingress.deps.clock.now() + ingressLimits.headWithinMs;
    const answered = (bytes: Uint8Array, options: { readonly keepAlive: boolean }) => {
      this.own = false;
      this.ownBody = undefined;
      this.write(bytes);
      if (options.keepAlive && !this.halfClosed) this.nextRequest();
      else this.linger();
    };
    if (ownHost.isDial(head, target)) {
      ownHost.link(head, target, {
        refused: answered,
        opened: (bytes) => {
          // While the token was checked the agent may have left, and no event would ever tell a link made now.
          if (this.gone || this.halfClosed) {
            this.socket.destroy();
            return undefined;
          }
          this.mode = "handed-on";
          this.ingress.forget(this);
          this.write(bytes);
          return { socket: this.socket, early: this.reader.detach() };
        },
      });
      return;
    }
    const post = ownHost.post(head, target, answered);
    if (post !== undefined) {
      this.posts = post.link;
      // It may have been refused already.
      if (this.own) this.ownBody = post.body;
      return;
    }
    this.ownBody = ownHost.request(head, framing, target, this.socket.remote, answered);
  }

  private redirect(location: string, head: ReadRequestHead, framing: Framing): void {
    const keepAlive = staysOpen(head, framing) && !this.closing;
    const fields = [
      "Location",
      location,
      "Content-Length",
      "0",
      ...(keepAlive ? [] : ["Connection", "close"]),
    ];
    this.write(wholeAnswer(308, fields, new Uint8Array(0)));
    if (!keepAlive) this.linger();
  }

  private refuseRequest(code: Code, head: ReadRequestHead, framing: Framing, context: AnswerContext): void {
    // The reader goes on to the end of a request that has no body; then the next one is read.
    if (!this.giveAnswer(code, head, framing, context)) this.linger();
  }

  /** Writes the answer for `code`. Returns whether the socket can take another request. */
  private giveAnswer(
    code: Code,
    head: ReadRequestHead | undefined,
    framing: Framing | undefined,
    context: AnswerContext,
  ): boolean {
    const { metrics } = this.ingress.deps;
    const status = codes[code].status ?? 500;
    const keepAlive =
      head !== undefined && framing !== undefined && staysOpen(head, framing) && !this.closing;
    const fields = head?.fields ?? [];
    const accept = fieldValue(fields, "accept");
    const host = fieldValue(fields, "host");
    const { fields: made, body } = answer(code, {
      ...(accept !== undefined && { accept }),
      ...(host !== undefined && { host }),
      ...(status === 503 && { retryAfterSeconds: ingressLimits.retryAfterSeconds }),
      ...context,
    });
    if (!keepAlive) made.push("Connection", "close");
    this.write(wholeAnswer(status, made, head?.method === "HEAD" ? new Uint8Array(0) : body));
    metrics.refused(code);
    return keepAlive;
  }

  /** Ready for another request, which may have come already. */
  private nextRequest(): void {
    this.awaitMore();
    this.socket.resume();
    this.reader.next();
    if (this.halfClosed && !this.busy) this.halfClose();
  }

  /** No more requests: FIN, and what the visitor still sends is dropped for a while, so that he gets to read the answer. */
  private linger(): void {
    this.mode = "lingering";
    this.reader.detach();
    this.awaitMore();
    this.socket.resume();
    this.halfClose();
  }

  private report(exchange: Exchange): void {
    if (this.exchange !== exchange) return;
    this.exchange = undefined;
    const { options, bytesIn, bytesOut, status, opened } = exchange;
    const { way, head, target, startedMs } = options;
    const { method } = head;
    const name = way.tunnel;
    account(this.ingress.deps, { name, method, target, startedMs, status, bytesIn, bytesOut, opened });
  }
}
