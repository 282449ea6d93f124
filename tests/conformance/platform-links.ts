import type { Clock } from "../../shared/clock.ts";
import type { Link } from "../../shared/link.ts";
import { type MessageSocket, MessageSocketLink } from "../../shared/links/message-socket.ts";
import { WebSocketLink } from "../../shared/links/websocket.ts";
import { listen } from "../../shared/runtimes/bun-sockets.ts";
import type { Socket } from "../../shared/socket.ts";
import { acceptFields, checkUpgradeRequest } from "../../shared/websocket/upgrade.ts";

const protocol = "underpass.1";

/** A link over this platform's own WebSocket on the agent's end; on the relay's, frames over a socket. */
export async function platformLinks(clock: Clock): Promise<{ agent: Link; relay: Link; close(): void }> {
  const { promise, resolve } = Promise.withResolvers<WebSocketLink>();
  const listener = await listen({ host: "127.0.0.1", port: 0 }, (socket) => upgrade(socket, clock, resolve));
  const options = { protocols: [protocol], perMessageDeflate: false } as unknown as string[];
  const socket = new WebSocket(`ws://127.0.0.1:${listener.port}/`, options) as unknown as MessageSocket &
    WebSocket;
  const opened = new Promise((open, fail) => {
    socket.addEventListener("open", open);
    socket.addEventListener("error", fail);
  });
  const [relay] = await Promise.all([promise, opened]);
  listener.close();
  return {
    agent: MessageSocketLink.listenTo(socket, { clock }),
    relay,
    close() {
      socket.close();
      relay.destroy();
    },
  };
}

/** Reads one opening handshake, which comes whole over loopback, and answers it. */
function upgrade(socket: Socket, clock: Clock, opened: (link: WebSocketLink) => void): void {
  socket.handler = {
    data(bytes) {
      const lines = new TextDecoder().decode(bytes).split("\r\n").slice(1, -2);
      const fields = lines.flatMap((line) => [
        line.slice(0, line.indexOf(":")),
        line.slice(line.indexOf(":") + 1),
      ]);
      const request = checkUpgradeRequest(fields);
      if (typeof request === "string") throw new Error(request);
      const accepted = acceptFields(request.key, protocol);
      let head = "HTTP/1.1 101 Switching Protocols\r\n";
      for (let i = 0; i + 1 < accepted.length; i += 2) head += `${accepted[i]}: ${accepted[i + 1]}\r\n`;
      socket.write(new TextEncoder().encode(`${head}\r\n`));
      opened(new WebSocketLink(socket, { role: "relay", clock }));
    },
    drained() {},
    ended() {},
    closed() {},
  };
}
