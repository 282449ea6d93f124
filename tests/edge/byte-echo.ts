import { type AddressInfo, createServer, type Socket } from "node:net";
import { Wire } from "../blackbox/raw/wire.ts";

/** A service of bytes that says back what it hears, and ends when it has heard the end. */
export class ByteEcho {
  readonly #sockets = new Set<Socket>();

  private constructor(private readonly server: ReturnType<typeof createServer>) {
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      socket.pipe(socket);
    });
  }

  static async listen(): Promise<ByteEcho> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new ByteEcho(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
  }
}

/** Says all, ends, and returns what comes back until the other side ends too. */
export async function sayAll(port: number, content: Uint8Array): Promise<Buffer> {
  const wire = await Wire.connect(port);
  const said = wire.send(content).then(() => wire.end());
  const pieces: Uint8Array[] = [];
  for (let piece = await wire.some(); piece !== undefined; piece = await wire.some()) pieces.push(piece);
  await said;
  wire.close();
  return Buffer.concat(pieces);
}
