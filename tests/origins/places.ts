import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { HttpOrigin, type HttpOriginOptions } from "../../agent/origins/http.ts";
import type { RequestEvent } from "../../agent/screen/events.ts";
import { dial } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import type { DialTarget } from "../../shared/socket.ts";

/** An HttpOrigin with its log, for a service that listens on this machine. */
export interface Place extends Disposable {
  readonly origin: HttpOrigin;
  readonly log: RequestEvent[];
}

export function placeFor(target: DialTarget, options: Partial<HttpOriginOptions> = {}): Place {
  const log: RequestEvent[] = [];
  const origin = new HttpOrigin({
    dial,
    target,
    hostHeader: "visitor",
    clock: systemClock,
    dialTimeoutMs: 10_000,
    headTimeoutMs: 60_000,
    onRequest: (event) => log.push(event),
    ...options,
  });
  return { origin, log, [Symbol.dispose]: () => origin.close() };
}

/** A raw service: every socket goes to `accept`. */
export class RawService implements AsyncDisposable {
  readonly sockets: net.Socket[] = [];
  readonly #server: net.Server;
  readonly #accept: (socket: net.Socket) => void;

  private constructor(accept: (socket: net.Socket) => void) {
    this.#accept = accept;
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.push(socket);
      // A reset is what some of these tests are about; the socket's `close` tells the rest.
      socket.on("error", () => {});
      this.#accept(socket);
    });
  }
  static async listen(accept: (socket: net.Socket) => void, host = "127.0.0.1"): Promise<RawService> {
    const service = new RawService(accept);
    service.#server.listen(0, host);
    await once(service.#server, "listening");
    return service;
  }
  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }
  get target(): DialTarget {
    return { host: "127.0.0.1", port: this.port };
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
  }
}

/** Answers each head (up to its empty line) with a text. For requests without body. */
export function answering(answer: (head: string, count: number) => string): (socket: net.Socket) => void {
  let count = 0;
  return (socket) => {
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const head = text.slice(0, end + 4);
        text = text.slice(end + 4);
        socket.write(Buffer.from(answer(head, ++count), "latin1"));
      }
    });
  };
}

/** A service in node:http, which counts its sockets. */
export class NodeService implements AsyncDisposable {
  sockets = 0;
  readonly #server: http.Server;

  private constructor(listener: http.RequestListener) {
    this.#server = http.createServer(listener);
    this.#server.on("connection", () => {
      this.sockets++;
    });
  }
  static async listen(listener: http.RequestListener): Promise<NodeService> {
    const service = new NodeService(listener);
    service.#server.listen(0, "127.0.0.1");
    await once(service.#server, "listening");
    return service;
  }
  get target(): DialTarget {
    return { host: "127.0.0.1", port: (this.#server.address() as net.AddressInfo).port };
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
