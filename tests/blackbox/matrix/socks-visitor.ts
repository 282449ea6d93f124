import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A SOCKS5 handshake by hand (RFC 1928), without authentication. */
export const SocksVisitor = {
  /** Resolves with the socket once the proxy has said that the far end is open; fails with its reply code. */
  async connect(proxyPort: number, host: string, port: number): Promise<Socket> {
    const socket = connect({ port: proxyPort, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    socket.write(Uint8Array.of(5, 1, 0));
    await exactly(socket, 2);
    const octets = host.split(".").map(Number);
    socket.write(Uint8Array.of(5, 1, 0, 1, ...octets, port >> 8, port & 255));
    const reply = await exactly(socket, 10);
    if (reply[1] !== 0) throw new Error(`SOCKS reply ${reply[1]}`);
    return socket;
  },
};

async function exactly(socket: Socket, size: number): Promise<Uint8Array> {
  for (;;) {
    const bytes = socket.read(size) as Uint8Array | null;
    if (bytes !== null) return bytes;
    await Promise.race([
      once(socket, "readable"),
      once(socket, "end").then(() => Promise.reject(new Error("closed"))),
    ]);
  }
}
