import { listen } from "../../shared/runtimes/bun-sockets.ts";
import type { Listener, Socket } from "../../shared/socket.ts";

export const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

export const write = (socket: Socket, text: string): void => void socket.write(Buffer.from(text, "latin1"));

/** Reads one request and lets `reply` answer it on the raw socket. */
export async function withRelay<T>(
  reply: (request: string, socket: Socket) => void,
  run: (relay: URL) => Promise<T>,
): Promise<T> {
  const sockets: Socket[] = [];
  const listener: Listener = await listen({ host: "127.0.0.1", port: 0 }, (socket) => {
    sockets.push(socket);
    let text = "";
    const ignore = (): void => {};
    socket.handler = {
      data(bytes) {
        text += latin1(bytes);
        const end = text.indexOf("\r\n\r\n");
        const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
        if (end >= 0 && text.length >= end + 4 + length) reply(text, socket);
      },
      drained: ignore,
      ended: () => socket.end(),
      closed: ignore,
    };
  });
  try {
    return await run(new URL(`http://127.0.0.1:${listener.port}`));
  } finally {
    listener.close();
    for (const socket of sockets) socket.destroy();
  }
}
