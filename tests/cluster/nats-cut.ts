import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A way to a port of this machine that can be cut, for one relay alone. */
export class Cut {
  readonly port: number;
  readonly #sockets = new Set<Socket>();
  #isCut = false;
  readonly #close: () => void;

  private constructor(port: number, close: () => void) {
    this.port = port;
    this.#close = close;
  }

  static async before(port: number): Promise<Cut> {
    const listener = createServer((near) => cut.#join(near, port));
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    const cut = new Cut((listener.address() as AddressInfo).port, () => listener.close());
    return cut;
  }

  cut(is: boolean): void {
    this.#isCut = is;
    if (is) for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut(true);
    this.#close();
  }

  #join(near: Socket, port: number): void {
    if (this.#isCut) {
      near.destroy();
      return;
    }
    const far = connect(port, "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
