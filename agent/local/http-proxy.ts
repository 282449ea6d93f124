import { type Code, codes } from "../../shared/errors.ts";
import type { HttpFault } from "../../shared/http1/fault.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import { fieldValue, type RequestHead } from "../../shared/http1/head.ts";
import { namedByConnection } from "../../shared/http1/hop.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { HttpReader } from "../../shared/http1/reader.ts";
import type { PipeEnd } from "../../shared/pipe.ts";
import type { Socket } from "../../shared/socket.ts";
import { SocketEnd, type Splice, splice } from "../../shared/splice.ts";
import { failureStatus, proxyAnswer } from "./http-proxy-answer.ts";
import { HttpProxyExchange, type ProgramSide, type ProxiedRequest } from "./http-proxy-exchange.ts";
import { asksForUpgrade, readProxyRequest } from "./http-proxy-request.ts";
import { ProxyCall } from "./proxy-call.ts";
import { basicLogin, loginMatches } from "./proxy-credentials.ts";
import { proxyLimits } from "./proxy-limits.ts";
import { type ProxyPlace, type ProxyTalk, proxyEvent } from "./proxy-place.ts";

const established = encodeLatin1("HTTP/1.1 200 Connection established\r\n\r\n");

/** A program that speaks HTTP/1.1 to its proxy on a local socket: requests in absolute form, one after the other, or CONNECT. */
export class HttpProxyTalk implements ProxyTalk, ProgramSide {
  deadlineMs: number;
  readonly #socket: Socket;
  readonly #place: ProxyPlace;
  readonly #reader: HttpReader<"request">;
  /**
   * `calling`: a CONNECT waits for the far side. `through`: the socket's bytes are the splice's. `lingering`, `finishing`:
   * FIN is out after a refusal, after an answer.
   */
  #state: "http" | "calling" | "through" | "lingering" | "finishing" = "http";
  #exchange: HttpProxyExchange | undefined;
  #target = "";
  #call: ProxyCall | undefined;
  #splice: Splice | undefined;
  /** The answer to HEAD has no body. */
  #bodiless = false;
  /** The request has been read to its end, and before that whether there is more of it than a head. */
  #requestDone = false;
  #hasBody = false;
  #wantsClose = false;
  #halfClosed = false;
  #lingeredBytes = 0;

  constructor(socket: Socket, place: ProxyPlace) {
    this.#socket = socket;
    this.#place = place;
    this.#reader = new HttpReader("request", {
      head: (head, framing) => this.#requestHead(head, framing),
      body: (bytes) => this.#exchange?.requestBody(bytes),
      trailers: (fields) => this.#exchange?.requestTrailers(fields),
      end: () => this.#requestEnd(),
      fault: (fault) => this.#requestFault(fault),
    });
    this.deadlineMs = place.clock.now() + proxyLimits.handshakeMs;
    socket.handler = this;
  }

  get busy(): boolean {
    return this.#exchange !== undefined || (this.#state !== "http" && this.#state !== "lingering");
  }

  timeOut(): void {
    if (this.#exchange?.answered === true) this.#requestFault();
    else if (this.#state !== "http" || this.#reader.between) this.#socket.destroy();
    else {
      this.#wantsClose = true;
      this.#refuse(408, "request-timeout", codes["request-timeout"].meaning);
    }
  }

  destroy(): void {
    if (this.#splice !== undefined) this.#splice.abort("cancelled");
    else this.#socket.destroy();
  }

  // From the socket.

  data(bytes: Uint8Array): void {
    if (this.#state === "lingering" || this.#state === "finishing") {
      this.#lingeredBytes += bytes.length;
      if (this.#lingeredBytes > proxyLimits.maxLingerBytes) this.#socket.destroy();
      return;
    }
    // The clock of a head starts with its first byte.
    if (!this.busy && this.#reader.between) this.#wait(proxyLimits.handshakeMs);
    this.#reader.push(bytes);
    if (this.#reader.heldBytes > proxyLimits.maxEarlyBytes) this.#socket.pause();
  }

  drained(): void {
    this.#exchange?.programDrained();
  }

  ended(): void {
    this.#halfClosed = true;
    if (this.#state === "http") this.#reader.finish();
    if (this.#exchange !== undefined) this.#exchange.programLeft();
    else if (this.#state === "http") this.#linger();
  }

  closed(): void {
    if (this.#state === "calling") {
      this.#call?.cancel();
      this.#tell(this.#target, 0, 0, "cancelled");
    }
    this.#exchange?.programGone();
    this.#report("cancelled");
    this.#place.forget(this.#socket);
  }

  // ProgramSide

  get queued(): number {
    return this.#socket.queued;
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  awaitUpload(): void {
    this.#wait(proxyLimits.idleMs);
  }

  done({ keepAlive }: { readonly keepAlive: boolean }): void {
    this.#report(undefined);
    if (keepAlive && !this.#halfClosed && !this.#place.closing) this.#next();
    else this.#finish("finishing", proxyLimits.finishMs);
  }

  refuse(code: Code): void {
    this.#report(code);
    this.#refuse(failureStatus(code), code, codes[code].meaning);
  }

  abort(code: Code): void {
    this.#report(code);
    this.#socket.destroy();
  }

  switchProtocols(far: PipeEnd, first: Uint8Array): void {
    const { bytesIn = 0, bytesOut = 0, target = "" } = this.#exchange ?? {};
    this.#exchange = undefined;
    if (first.length > 0) this.#socket.write(first);
    this.#join(far, target, bytesIn, bytesOut);
  }

  // From the reader.

  #requestHead(head: RequestHead, framing: Framing): void {
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#bodiless = head.method === "HEAD";
    this.#requestDone = false;
    this.#hasBody = framing.kind !== "none" && !(framing.kind === "length" && framing.bytes === 0);
    this.#wantsClose = head.minor === 0 || namedByConnection(head.fields).has("close");
    const { credentials } = this.#place;
    const login = credentials && basicLogin(fieldValue(head.fields, "proxy-authorization"));
    const request = readProxyRequest(head, framing);
    // What follows may be bytes of what was asked for: after a refusal they must not be read as a request.
    if (head.method === "CONNECT" || asksForUpgrade(head, framing)) this.#wantsClose = true;
    if (request.kind === "wrong") this.#refuse(400, "request-invalid", request.detail);
    else if (credentials && (login === undefined || !loginMatches(login, credentials)))
      this.#refuse(407, "unauthorized", "This proxy asks for a user and a password.");
    else if (request.kind === "connect") this.#connect(request.target);
    else this.#start({ head, framing, ...request });
  }

  #start(request: ProxiedRequest): void {
    this.#exchange = new HttpProxyExchange(this, request, this.#place);
  }

  #connect(target: string): void {
    this.#state = "calling";
    this.#target = target;
    this.#call = new ProxyCall(this.#place.caller, target, {
      opened: (far) => {
        this.#socket.write(established);
        this.#join(far, target, 0, 0);
      },
      failed: (code) => {
        this.#state = "http";
        this.#tell(target, 0, 0, code);
        this.#refuse(failureStatus(code), code, codes[code].meaning);
      },
    });
  }

  #requestEnd(): void {
    this.#requestDone = true;
    if (this.#exchange !== undefined) this.#exchange.requestEnd();
    else if (this.#state === "http") this.#next();
  }

  /** Without a fault: the rest of an upload did not come in time. */
  #requestFault(fault?: HttpFault): void {
    if (this.#exchange === undefined && fault !== undefined) {
      this.#bodiless = false;
      this.#wantsClose = true;
      this.#refuse(codes[fault.code].status ?? 400, fault.code, fault.message);
      return;
    }
    const answered = this.#exchange?.answered === true;
    this.#exchange?.programGone();
    this.#report("cancelled");
    // An answer that is through is still to be read.
    if (answered) this.#finish("finishing", proxyLimits.finishMs);
    else this.#socket.destroy();
  }

  /** From here on the socket is the splice's. */
  #join(far: PipeEnd, target: string, bytesIn: number, bytesOut: number): void {
    this.#state = "through";
    this.#socket.resume();
    const near = new SocketEnd(this.#socket, { broken: "cancelled", first: this.#reader.detach() });
    this.#splice = splice(near, far, ({ forth, back, code }) => {
      this.#tell(target, bytesIn + forth, bytesOut + back, code);
      this.#place.forget(this.#socket);
    });
    if (this.#halfClosed) near.ended();
  }

  // Answers of the proxy itself

  #refuse(status: number, code: Code, detail: string): void {
    const keepAlive =
      !this.#wantsClose && !this.#halfClosed && !this.#place.closing && (this.#requestDone || !this.#hasBody);
    this.write(proxyAnswer({ status, code, detail, keepAlive, bodiless: this.#bodiless }));
    if (!keepAlive) this.#linger();
    else if (this.#requestDone) this.#next();
  }

  /** Ready for another request, which may have come already. */
  #next(): void {
    this.#wait(proxyLimits.idleMs);
    this.#socket.resume();
    this.#reader.next();
    if (this.#halfClosed && !this.busy) this.#linger();
  }

  /** No more requests: FIN, and what the program still sends is dropped for a while, so that it gets to read the answer. */
  #linger(): void {
    this.#finish("lingering", proxyLimits.lingerMs);
  }

  #finish(state: "lingering" | "finishing", forMs: number): void {
    this.#state = state;
    this.#reader.detach();
    this.#wait(forMs);
    this.#socket.resume();
    this.#socket.end();
  }

  #wait(forMs: number): void {
    this.deadlineMs = this.#place.clock.now() + forMs;
  }

  #report(code: Code | undefined): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    if (exchange !== undefined) this.#tell(exchange.target, exchange.bytesIn, exchange.bytesOut, code);
  }

  #tell(target: string, bytesIn: number, bytesOut: number, code: Code | undefined): void {
    this.#place.onStream(proxyEvent(target, bytesIn, bytesOut, code));
  }
}
