import type { Clock } from "../../shared/clock.ts";
import { decodeHead } from "../../shared/head.ts";
import { HttpFault } from "../../shared/http1/fault.ts";
import { requestFraming } from "../../shared/http1/framing.ts";
import { isNamed, writeRequestHead } from "../../shared/http1/head.ts";
import { closeHead } from "../../shared/http1/head-bytes.ts";
import { linesOfThisHop, withoutHopByHop } from "../../shared/http1/hop.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { parseRequestHead, type ReadRequestHead } from "../../shared/http1/read-head.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { Dial, DialTarget } from "../../shared/socket.ts";
import type { RequestEvent } from "../screen/events.ts";
import { Deadlines } from "./deadlines.ts";
import { type ExchangePlace, HttpExchange } from "./exchange.ts";
import type { OriginTimeouts } from "./limits.ts";
import { dialLoopback } from "./loopback.ts";
import { OriginPool } from "./pool.ts";

export interface HttpOriginOptions extends OriginTimeouts {
  readonly dial: Dial;
  /** With neither host nor path of a unix socket: the port on 127.0.0.1 or ::1, whichever answers. */
  readonly target: DialTarget;
  /** What the origin sees as Host: the visitor's, the origin's own, or this text. */
  readonly hostHeader: string;
  readonly clock: Clock;
  /** An exchange has ended. */
  readonly onRequest: (event: RequestEvent) => void;
  /** The first bytes of the body of an answer with status 403. */
  readonly onForbidden?: (body: Uint8Array) => void;
}

/** The service behind the agent, spoken to in HTTP/1.1 over pooled sockets. */
export class HttpOrigin {
  readonly #pool: OriginPool;
  readonly #place: ExchangePlace;
  /** Replaces the visitor's Host. */
  readonly #host: string | undefined;

  constructor(options: HttpOriginOptions) {
    const { clock, target, hostHeader, onRequest, dialTimeoutMs, headTimeoutMs } = options;
    this.#pool = new OriginPool({ dial: dialLoopback(options.dial), target, clock, dialTimeoutMs });
    this.#host =
      hostHeader === "visitor" ? undefined : hostHeader === "origin" ? authority(target) : hostHeader;
    this.#place = {
      pool: this.#pool,
      headDeadlines: new Deadlines(clock, headTimeoutMs, (exchange: HttpExchange) => exchange.expire()),
      now: () => clock.now(),
      soon: (run) => clock.soon(run),
      onRequest,
      onForbidden: options.onForbidden ?? (() => {}),
    };
  }

  /** Takes an http stream that the relay opened, with its head fields still encoded. The head is checked once more here. */
  open(stream: Stream, fields: Uint8Array): StreamHandler {
    const found = decodeHead(fields);
    const isHttp = found !== undefined && found.httpFrom > 0;
    const head = isHttp ? parseRequestHead(fields, found.httpFrom, found.httpTo) : undefined;
    const read =
      head === undefined || head instanceof HttpFault || head.to !== found?.httpTo ? undefined : head;
    const framing = read && requestFraming(read);
    // CONNECT asks for a proxy, which an origin is not; and its answer would be no HTTP message.
    if (
      read === undefined ||
      framing === undefined ||
      framing instanceof HttpFault ||
      read.method === "CONNECT"
    ) {
      stream.reset("head-invalid");
      return stream.handler;
    }
    const exchange = new HttpExchange(stream, read, framing, this.#wire(read), this.#place);
    exchange.start();
    return exchange;
  }

  /** The head as the origin gets it. */
  #wire(head: ReadRequestHead): Uint8Array {
    if (this.#host === undefined && linesOfThisHop(head)?.length === 0) return closeHead(head);
    const { method, target, minor } = head;
    const cleaned = withoutHopByHop(head.fields, { keepUpgrade: true });
    const fields = this.#host === undefined ? cleaned : withHost(cleaned, this.#host);
    return encodeLatin1(`${writeRequestHead({ method, target, minor, fields })}\r\n`);
  }

  /** Sockets that are kept for the next exchange. */
  get idleSockets(): number {
    return this.#pool.idleSockets;
  }

  /** Closes what is idle, and the timers. Exchanges that are on go on, and are no longer watched. */
  close(): void {
    this.#pool.close();
    this.#place.headDeadlines.close();
  }
}

/** The fields with Host replaced where it stands; put first where there is none (HTTP/1.0). */
function withHost(fields: readonly string[], host: string): string[] {
  let found = false;
  const replaced = fields.slice();
  for (let i = 0; i < replaced.length; i += 2) {
    if (!isNamed(replaced[i], "host")) continue;
    replaced[i + 1] = host;
    found = true;
  }
  return found ? replaced : ["Host", host, ...replaced];
}

/** How the origin would be called by somebody on its own machine. */
function authority(target: DialTarget): string {
  const { host = "localhost", port } = target;
  const name = host.includes(":") ? `[${host}]` : host;
  const usual = target.tls === undefined ? 80 : 443;
  return port === undefined || port === usual ? name : `${name}:${port}`;
}
