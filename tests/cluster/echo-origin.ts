import { type AddressInfo, createServer, type Server } from "node:net";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";

/** Answers a request with `text` and its body; echoes what comes by a WebSocket, with `text` before it. */
export function startWebEcho(text: string): Promise<RawOrigin> {
  return RawOrigin.listen(async (exchange) => {
    if (exchange.head.field("upgrade") !== undefined) {
      const socket = await RawWebSocket.accept(exchange);
      for (;;) await socket.send(opcodes.text, `${text} ${await socket.text()}`);
    }
    const answer = `${text} ${await exchange.body.text()}`;
    await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`);
  });
}

/** Bytes: says back what it hears, with half-close. */
export async function startByteEcho(): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, server };
}
