import type { Code } from "../../shared/errors.ts";
import { chunkEnd, chunkStart, lastChunk } from "../../shared/http1/chunked.ts";
import type { HttpFault } from "../../shared/http1/fault.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import { isNamed, type RequestHead, type ResponseHead, writeResponseHead } from "../../shared/http1/head.ts";
import { namedByConnection, withoutHopByHop } from "../../shared/http1/hop.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { HttpReader } from "../../shared/http1/reader.ts";
import type { PipeEnd, PipeHandler } from "../../shared/pipe.ts";
import { RequestBody } from "../origins/request-body.ts";
import { asksForUpgrade, onwardHead } from "./http-proxy-request.ts";
import { proxyLimits } from "./proxy-limits.ts";
import type { ProxyPlace } from "./proxy-place.ts";

/** What an exchange needs of the program's socket. */
export interface ProgramSide {
  /** Bytes written that have not left. */
  readonly queued: number;
  write(bytes: Uint8Array): void;
  /** The upload is to wait, and may go on. */
  pause(): void;
  resume(): void;
  /** The rest of the upload may take as long as an idle socket may. */
  awaitUpload(): void;
  /** The answer is through. */
  done(options: { readonly keepAlive: boolean }): void;
  /** There is no answer: give one for `code`. */
  refuse(code: Code): void;
  /** The answer broke off: end so that the program can tell. */
  abort(code: Code): void;
  /** From here on both sides' bytes are another protocol's. `first`: what has come of it from the far side. */
  switchProtocols(far: PipeEnd, first: Uint8Array): void;
}

export interface ProxiedRequest {
  readonly head: RequestHead;
  readonly framing: Framing;
  readonly target: string;
  readonly path: string;
  readonly host: string;
}

/** One request in absolute form and its answer, over a stream of its own. */
export class HttpProxyExchange implements PipeHandler {
  /** Over the stream, heads included. */
  bytesIn = 0;
  bytesOut = 0;
  readonly target: string;
  /** `answered`: the answer is through, and the upload goes on as it would without us. */
  #state: "waiting" | "body" | "answered" | "over" = "waiting";
  readonly #program: ProgramSide;
  readonly #minor: 0 | 1;
  readonly #upgrade: boolean;
  readonly #far: PipeEnd;
  readonly #reader: HttpReader<"response">;
  readonly #request: RequestBody;
  #requestEnded = false;
  #farEnded = false;
  #keepAlive: boolean;
  #chunks = false;
  #trailers: readonly string[] = [];
  #paused = false;
  readonly #place: Pick<ProxyPlace, "caller" | "clock">;
  #cancelParting: () => void = () => {};

  constructor(program: ProgramSide, request: ProxiedRequest, place: Pick<ProxyPlace, "caller" | "clock">) {
    const { head, framing, target } = request;
    this.#program = program;
    this.#place = place;
    // Not the head itself: that would keep what was read with it.
    this.#minor = head.minor;
    this.target = target;
    this.#upgrade = asksForUpgrade(head, framing);
    const named = namedByConnection(head.fields);
    const asked = head.minor === 1 ? !named.has("close") : named.has("keep-alive");
    // What follows a refused upgrade may be bytes of its protocol: they must not be read as a request.
    this.#keepAlive = asked && !this.#upgrade;
    this.#request = new RequestBody(framing);
    this.#reader = new HttpReader("response", {
      head: (answer, framed) => this.#answerHead(answer, framed),
      body: (bytes) => this.#answerBody(bytes),
      trailers: (fields) => {
        this.#trailers = fields;
      },
      end: () => this.#answerEnd(),
      fault: (fault) => this.#answerFault(fault),
    });
    this.#reader.expect(head.method);
    // Nothing is to be done when it is open, and nothing waits for it: what is written now goes with the opening.
    this.#far = place.caller.tcp(target, () => {});
    this.#far.handler = this;
    this.#toFar(onwardHead(head, request, { upgrade: this.#upgrade }));
  }

  /** The answer is through, and only the rest of the upload is awaited. */
  get answered(): boolean {
    return this.#state === "answered";
  }

  // From the program.

  requestBody(bytes: Uint8Array): void {
    const framed = this.#request.data(bytes);
    if (framed !== undefined) this.#toFar(framed);
    if (this.#state === "answered") this.#program.awaitUpload();
  }

  requestTrailers(fields: string[]): void {
    this.#request.trailers(withoutHopByHop(fields, { keepUpgrade: false }));
  }

  requestEnd(): void {
    this.#requestEnded = true;
    const last = this.#request.end();
    if (last !== undefined && last.length > 0) this.#toFar(last);
    if (this.#state === "answered") this.#complete();
  }

  /** FIN of the program. The origin sees it, as it would without us, and decides. */
  programLeft(): void {
    if (this.#requestEnded) {
      this.#keepAlive = false;
      this.#far.end();
    } else {
      this.programGone();
      this.#program.abort("cancelled");
    }
  }

  programGone(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#far.abort("cancelled");
  }

  programDrained(): void {
    if (this.#state !== "over") this.#far.held(this.#program.queued);
  }

  // From the far end.

  data(bytes: Uint8Array): void {
    if (this.#state === "over" || this.#state === "answered") return;
    this.bytesOut += bytes.length;
    this.#reader.push(bytes);
    this.programDrained();
  }

  drained(queued: number): void {
    if (!this.#paused || queued > proxyLimits.farLowBytes) return;
    this.#paused = false;
    if (this.#state !== "over") this.#program.resume();
  }

  ended(): void {
    this.#farEnded = true;
    this.#cancelParting();
    this.#reader.finish();
  }

  aborted(code: Code): void {
    this.#farEnded = true;
    this.#cancelParting();
    this.#fail(code);
  }

  // From the reader of the answer.

  #answerHead(head: ResponseHead, framing: Framing): void {
    if (framing.kind === "tunnel") this.#switchProtocols(head);
    else if (head.status < 200) this.#interim(head);
    else this.#final(head, framing);
  }

  #answerBody(bytes: Uint8Array): void {
    this.#program.write(this.#chunks ? chunk(bytes) : bytes);
  }

  #answerEnd(): void {
    if (this.#chunks) {
      const trailers = withoutHopByHop([...this.#trailers], { keepUpgrade: false });
      this.#program.write(encodeLatin1(lastChunk(trailers)));
    }
    this.#state = "answered";
    if (this.#requestEnded || !this.#keepAlive) this.#complete();
    else this.#program.awaitUpload();
  }

  #answerFault(fault: HttpFault): void {
    if (this.#state === "over" || this.#state === "answered") return;
    this.#far.abort(fault.code === "origin-closed" ? "cancelled" : "origin-invalid");
    this.#fail(fault.code);
  }

  #interim(head: ResponseHead): void {
    if (this.#minor === 0 || this.#program.queued > proxyLimits.maxQueuedInterimBytes) return;
    this.#writeHead(head, withoutHopByHop(head.fields, { keepUpgrade: false }));
  }

  #switchProtocols(head: ResponseHead): void {
    if (!this.#upgrade || head.status !== 101) {
      this.#far.abort("origin-invalid");
      this.#fail("origin-invalid");
      return;
    }
    this.#state = "over";
    this.#writeHead(head, withoutHopByHop(head.fields, { keepUpgrade: true }));
    this.#program.switchProtocols(this.#far, this.#reader.detach());
  }

  #final(head: ResponseHead, framing: Framing): void {
    this.#state = "body";
    let fields = withoutHopByHop(head.fields, { keepUpgrade: false });
    const added: string[] = [];
    if (framing.kind === "chunked" || framing.kind === "until-close") {
      if (this.#minor === 0) {
        this.#keepAlive = false;
        fields = withoutTransferEncoding(fields);
      } else {
        this.#chunks = true;
        if (framing.kind === "until-close") added.push("Transfer-Encoding", "chunked");
      }
    }
    if (!this.#keepAlive) added.push("Connection", "close");
    else if (this.#minor === 0) added.push("Connection", "keep-alive");
    this.#writeHead(head, [...fields, ...added]);
  }

  #writeHead({ status, reason }: ResponseHead, fields: string[]): void {
    this.#program.write(encodeLatin1(`${writeResponseHead({ status, reason, minor: 1, fields })}\r\n`));
  }

  #toFar(bytes: Uint8Array): void {
    if (this.#state === "over") return;
    this.bytesIn += bytes.length;
    if (this.#far.write(bytes) <= proxyLimits.farHighBytes || this.#paused) return;
    this.#paused = true;
    this.#program.pause();
  }

  /** The answer is through, and the upload too, or nobody wants the rest of it. */
  #complete(): void {
    this.#state = "over";
    if (this.#requestEnded) this.#part();
    else this.#far.abort("cancelled");
    this.#program.done({ keepAlive: this.#keepAlive && this.#requestEnded });
  }

  /** The origin was told to close, and may do so in its own time, up to a bound. */
  #part(): void {
    const { clock } = this.#place;
    this.#far.end();
    if (this.#farEnded) return;
    this.#cancelParting = clock.at(clock.now() + proxyLimits.partingMs, () => this.#far.abort("no-error"));
  }

  #fail(code: Code): void {
    const state = this.#state;
    if (state === "over") return;
    if (state === "answered") {
      // The answer stands; the origin just wants no more of the upload.
      this.#complete();
      return;
    }
    this.#state = "over";
    if (state === "waiting") this.#program.refuse(code);
    else this.#program.abort(code);
  }
}

function chunk(bytes: Uint8Array): Uint8Array {
  const start = encodeLatin1(chunkStart(bytes.length));
  const framed = new Uint8Array(start.length + bytes.length + chunkEnd.length);
  framed.set(start);
  framed.set(bytes, start.length);
  framed.set(encodeLatin1(chunkEnd), start.length + bytes.length);
  return framed;
}

function withoutTransferEncoding(fields: readonly string[]): string[] {
  return fields.filter((_, i) => !isNamed(fields[i - (i % 2)], "transfer-encoding"));
}
