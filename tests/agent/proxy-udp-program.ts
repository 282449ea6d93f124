import dgram from "node:dgram";
import { once } from "node:events";
import { within } from "../blackbox/programs/within.ts";
import { limitMs } from "./proxy-harness.ts";

/** A datagram as SOCKS5 carries it (RFC 1928 section 7). */
export function wrapped(name: string, port: number, body: Uint8Array, fragment = 0): Buffer {
  return Buffer.concat([
    Buffer.from([0, 0, fragment, 3, name.length, ...Buffer.from(name), port >>> 8, port & 0xff]),
    body,
  ]);
}

/** A program's UDP socket, written by hand. */
export class UdpProgram implements AsyncDisposable {
  readonly received: Buffer[] = [];
  #arrived = Promise.withResolvers<void>();

  private constructor(readonly socket: dgram.Socket) {
    socket.on("message", (bytes) => {
      this.received.push(bytes);
      this.#arrived.resolve();
      this.#arrived = Promise.withResolvers<void>();
    });
  }
  static async open(address = "127.0.0.1"): Promise<UdpProgram> {
    const socket = dgram.createSocket("udp4");
    socket.bind(0, address);
    await once(socket, "listening");
    return new UdpProgram(socket);
  }
  send(bytes: Uint8Array, port: number): Promise<void> {
    return new Promise((resolve, reject) =>
      this.socket.send(bytes, port, "127.0.0.1", (error) => (error ? reject(error) : resolve())),
    );
  }
  async next(): Promise<Buffer> {
    const first = this.received.shift();
    if (first !== undefined) return first;
    await within(this.#arrived.promise, limitMs, () => "a datagram");
    return this.next();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.close();
  }
}
