/** An origin on every address of its host: `/BYTES` answers so many, in pieces as fast as they are taken. */
import { createServer, type Socket } from "node:net";
import { Body } from "../../blackbox/raw/body.ts";
import { Head } from "../../blackbox/raw/head.ts";
import { Wire, WireEnded } from "../../blackbox/raw/wire.ts";
import { Pattern } from "../pattern.ts";

const pieceBytes = 64 * 1024;

const server = createServer({ allowHalfOpen: true }, (socket) => {
  serve(socket).catch((error: unknown) => {
    if (!(error instanceof WireEnded)) throw error;
  });
});
server.listen(0, "0.0.0.0", () => {
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no address");
  console.log(JSON.stringify({ event: "listening", port: address.port }));
});

async function serve(socket: Socket): Promise<void> {
  const wire = new Wire(socket);
  for (;;) {
    const head = await Head.read(wire);
    await Body.ofRequest(wire, head).text();
    const bytes = Number(head.target.slice(1));
    await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
    const pattern = new Pattern();
    for (let left = bytes; left > 0 && !socket.destroyed; left -= pieceBytes)
      await wire.send(pattern.next(Math.min(left, pieceBytes)));
    if (socket.destroyed) return;
  }
}
