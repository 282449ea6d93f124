import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A way to a port of this machine that breaks, leads elsewhere or is shut when a test says so. */
export class Door {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isShut = false;

  /** `to`: the port that whoever comes in from now on is brought to. */
  private constructor(public to: number) {
    this.#server = createServer((near) => this.#join(near));
  }

  static async open(to: number): Promise<Door> {
    const door = new Door(to);
    door.#server.listen(0, "127.0.0.1");
    await once(door.#server, "listening");
    return door;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Whoever has come in has to come again. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Nobody comes in, and nobody stays. */
  shut(is: boolean): void {
    this.#isShut = is;
    if (is) this.cut();
  }

  close(): void {
    this.shut(true);
    this.#server.close();
  }

  #join(near: Socket): void {
    if (this.#isShut) {
      near.destroy();
      return;
    }
    const far = connect(this.to, "127.0.0.1");
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
