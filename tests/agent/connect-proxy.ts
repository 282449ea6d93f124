import { once } from "node:events";
import net from "node:net";

/** How a proxy of these tests answers CONNECT. */
export type ProxyWay =
  /** Opens the way; `login`: only for who says it. */
  | { readonly kind: "open"; readonly login?: string; readonly extra?: string; readonly split?: boolean }
  /** Says this, and nothing more. */
  | { readonly kind: "says"; readonly bytes: string }
  | { readonly kind: "hangs" }
  | { readonly kind: "ends" }
  | { readonly kind: "resets" };

/** A little HTTP proxy that knows CONNECT only, and takes every host for 127.0.0.1. */
export class ConnectProxy implements AsyncDisposable {
  /** The heads that came. */
  readonly asked: string[] = [];
  readonly sockets = new Set<net.Socket>();
  readonly #server: net.Server;

  private constructor(way: ProxyWay) {
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => {
      this.#hold(socket);
      socket.once("data", (bytes) => {
        this.asked.push(bytes.toString());
        this.#answer(socket, bytes.toString(), way);
      });
    });
  }

  static async listen(way: ProxyWay = { kind: "open" }): Promise<ConnectProxy> {
    const proxy = new ConnectProxy(way);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
  }

  #hold(socket: net.Socket): void {
    this.sockets.add(socket);
    socket.on("close", () => this.sockets.delete(socket));
    // Breaking off is part of what is tested.
    socket.on("error", () => {});
  }

  #answer(socket: net.Socket, head: string, way: ProxyWay): void {
    if (way.kind === "hangs") return;
    if (way.kind === "ends") return void socket.end();
    if (way.kind === "resets") return void socket.resetAndDestroy();
    if (way.kind === "says") return void socket.write(way.bytes);
    if (way.login !== undefined && !head.includes(`\r\nProxy-Authorization: ${way.login}\r\n`)) {
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\nlogin");
      return;
    }
    const [, port] = /^CONNECT \S+:(\d+) HTTP\/1\.1\r\n/.exec(head) ?? [];
    const far = net.connect({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true });
    this.#hold(far);
    socket.on("close", () => far.destroy());
    far.on("close", () => socket.destroySoon());
    far.once("connect", () => {
      const answer = `HTTP/1.1 200 Connection established\r\nContent-Length: 7\r\n\r\n${way.extra ?? ""}`;
      if (way.split) for (const byte of answer) socket.write(byte);
      else socket.write(answer);
      socket.pipe(far).pipe(socket);
    });
    far.once("error", () => socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
  }
}
