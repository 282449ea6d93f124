import type { Clock } from "../../shared/clock.ts";
import type { HttpFault } from "../../shared/http1/fault.ts";
import type { ResponseHead } from "../../shared/http1/head.ts";
import { HttpReader, type HttpReaderHandler } from "../../shared/http1/reader.ts";
import type {
  Dial,
  DialFailure,
  DialHandler,
  DialTarget,
  Socket,
  SocketHandler,
  StartTls,
} from "../../shared/socket.ts";
import type { HttpProxy } from "./proxy-environment.ts";

export interface ConnectDeps {
  readonly dial: Dial;
  readonly startTls: StartTls;
  readonly clock: Clock;
}

const limits = {
  /** A proxy's answer to CONNECT is a few lines; what is behind it is not read. */
  maxHeadBytes: 16_384,
} as const;

/** Dials by way of an HTTP proxy: CONNECT (RFC 9110 section 9.3.6), then TLS with the target where it asks for that. */
export function connectDial(deps: ConnectDeps, proxy: HttpProxy): Dial {
  return (target, timeoutMs, handler) => {
    const attempt = new ConnectAttempt(deps, proxy, target, timeoutMs, handler);
    return () => attempt.giveUp();
  };
}

/** One dial. The time is for all of it: the way to the proxy, its answer, and TLS. */
class ConnectAttempt implements SocketHandler, HttpReaderHandler<ResponseHead> {
  readonly #untilMs: number;
  readonly #reader = new HttpReader("response", this, limits);
  #cancel: () => void;
  #cancelTimer = (): void => {};
  #socket: Socket | undefined;
  #over = false;
  #accepted = false;

  constructor(
    private readonly deps: ConnectDeps,
    private readonly proxy: HttpProxy,
    private readonly target: DialTarget,
    timeoutMs: number,
    private readonly handler: DialHandler,
  ) {
    const { clock, dial } = deps;
    this.#untilMs = clock.now() + timeoutMs;
    const { host, port } = proxy;
    this.#cancel = dial({ host, port }, timeoutMs, {
      opened: (socket) => this.#ask(socket),
      failed: (reason, detail) => this.#fail(reason, `The proxy ${this.#name} can't be reached: ${detail}`),
    });
  }

  giveUp(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimer();
    this.#cancel();
    this.#socket?.destroy();
  }

  /** Without its credentials. */
  get #name(): string {
    const { host, port, variable } = this.proxy;
    return `${authority(host, port)} (${variable})`;
  }

  get #leftMs(): number {
    return Math.max(1, this.#untilMs - this.deps.clock.now());
  }

  #ask(socket: Socket): void {
    this.#socket = socket;
    socket.handler = this;
    this.#cancelTimer = this.deps.clock.at(this.#untilMs, () =>
      this.#fail("timeout", `The proxy ${this.#name} did not answer in time.`),
    );
    const { host = "", port = 0 } = this.target;
    const { authorization } = this.proxy;
    const lines = [
      `CONNECT ${authority(host, port)} HTTP/1.1`,
      `Host: ${authority(host, port)}`,
      ...(authorization === undefined ? [] : [`Proxy-Authorization: ${authorization}`]),
    ];
    this.#reader.expect("CONNECT");
    socket.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
  }

  // From the socket.

  data(bytes: Uint8Array): void {
    if (this.#over) return;
    this.#reader.push(bytes);
    if (this.#accepted && !this.#over) this.#proceed(this.#reader.detach());
  }

  drained(): void {}

  ended(): void {
    this.#reader.finish();
  }

  closed(): void {
    this.#fail("failed", `The proxy ${this.#name} closed before it had answered.`);
  }

  // From the reader.

  head({ status }: ResponseHead): void {
    if (status < 200) return;
    if (status < 300) this.#accepted = true;
    else this.#fail(refusal(status), `The proxy ${this.#name} ${this.#meaning(status)}`);
  }

  body(): void {}

  trailers(): void {}

  end(): void {}

  fault({ code }: HttpFault): void {
    const what = code === "origin-closed" ? "closed before it had answered" : "does not speak HTTP";
    this.#fail("failed", `The proxy ${this.#name} ${what}.`);
  }

  #meaning(status: number): string {
    const { host = "", port = 0 } = this.target;
    if (status !== 407) return `answered ${status} to CONNECT ${authority(host, port)}.`;
    const { authorization, variable } = this.proxy;
    return authorization === undefined
      ? `wants a login (407): give ${variable} as http://USER:PASSWORD@HOST:PORT.`
      : `does not accept the login in ${variable} (407).`;
  }

  /** The proxy has opened the way. `early`: what the target has said already. */
  #proceed(early: Uint8Array): void {
    const socket = this.#socket;
    const { tls } = this.target;
    if (socket === undefined) return;
    if (tls === undefined) {
      this.#settle();
      this.handler.opened(socket);
      if (early.length > 0) socket.handler.data(early);
      return;
    }
    if (early.length > 0) {
      this.#fail("tls", `Bytes came through the proxy ${this.#name} before TLS had begun.`);
      return;
    }
    this.#cancelTimer();
    this.#socket = undefined;
    this.#cancel = this.deps.startTls(socket, tls, this.#leftMs, {
      opened: (secure) => {
        this.#settle();
        this.handler.opened(secure);
      },
      failed: (reason, detail) => this.#fail(reason, detail),
    });
  }

  #settle(): void {
    this.#over = true;
    this.#cancelTimer();
  }

  #fail(reason: DialFailure, detail: string): void {
    if (this.#over) return;
    this.#settle();
    this.#socket?.destroy();
    this.handler.failed(reason, detail);
  }
}

/** What an answer of the proxy says of the target. */
function refusal(status: number): DialFailure {
  if (status === 502 || status === 503) return "unreachable";
  return status === 504 ? "timeout" : "failed";
}

function authority(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
