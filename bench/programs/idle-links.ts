/**
 * A program: opens many WebSockets to BENCH_IDLE's `relay`, prints the seconds that took, and keeps them until it is
 * stopped. With tokens each becomes the link of a tunnel of its own, and counts as connected when WELCOME has come; else
 * when it is open. So a relay is compared with a bare server by the same dialling program, which costs little beside the
 * real agent.
 *
 * With the argument `serve` it is that bare server, whose first line is its port.
 */
import { writeGoaway, writeHello } from "../../shared/handshake.ts";
import { pingText } from "../../shared/liveness.ts";
import { RecordType } from "../../shared/mux/frame.ts";
import { limits } from "../../shared/mux/limits.ts";
import type { IdleOptions } from "./idle-tunnels.ts";

/** The types of browsers know of no headers. */
const BunWebSocket = WebSocket as unknown as new (
  url: string,
  options: { readonly headers: Record<string, string>; readonly protocols: readonly string[] },
) => WebSocket;
const goodbye = new Uint8Array(writeGoaway("bye", "goodbye"));

/** Dialled at the same time. */
const atATime = 64;
/** A relay gives up a link that is silent for three times as long. */
const pingEveryMs = 15_000;
/** For the goodbyes. */
const leaveWithinMs = 2_000;

if (process.argv[2] === "serve") serve();
else await dial(JSON.parse(process.env["BENCH_IDLE"] ?? "{}") as IdleOptions);

function serve(): void {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) =>
      server.upgrade(request) ? undefined : new Response("no WebSocket", { status: 400 }),
    websocket: { message() {}, idleTimeout: 0 },
  });
  console.log(server.port);
}

async function dial({ relay, tokens, namesPerOwner, count, prefix }: IdleOptions): Promise<void> {
  const url = relay.replace("http", "ws");
  const instance = crypto.randomUUID();
  const open: WebSocket[] = [];
  let next = 0;
  const startMs = performance.now();
  await Promise.all(
    Array.from({ length: atATime }, async () => {
      while (next < count) {
        const index = next++;
        const token = tokens[Math.floor(index / namesPerOwner)];
        open.push(
          await (token === undefined
            ? opened(new WebSocket(url))
            : welcomed(
                new BunWebSocket(`${url}/_underpass/links/${prefix}-${index}`, {
                  headers: { Authorization: `Bearer ${token}` },
                  protocols: ["underpass.1"],
                }),
                `${instance}-${index}`,
              )),
        );
      }
    }),
  );
  console.log((performance.now() - startMs) / 1_000);
  if (tokens.length === 0) return;
  setInterval(() => {
    for (const socket of open) socket.send(pingText);
  }, pingEveryMs);
  // Without a goodbye the relay would wait for them, and hold what they had.
  process.on("SIGTERM", () => {
    for (const socket of open) {
      socket.send(goodbye);
      socket.close();
    }
    setTimeout(() => process.exit(), leaveWithinMs);
  });
}

function opened(socket: WebSocket): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve(socket);
    socket.onerror = () => reject(new Error("A WebSocket was refused."));
  });
}

/** PROTOCOL.md section 3: HELLO, WELCOME, and a ping at once. */
function welcomed(socket: WebSocket, instance: string): Promise<WebSocket> {
  socket.binaryType = "arraybuffer";
  return new Promise((resolve, reject) => {
    socket.onopen = () => socket.send(helloOf(instance));
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === "string") return;
      if (new Uint8Array(data)[0] !== RecordType.welcome) reject(new Error("No WELCOME came."));
      socket.send(pingText);
      resolve(socket);
    };
    socket.onclose = () => reject(new Error("A link was refused."));
  });
}

function helloOf(instance: string): Uint8Array<ArrayBuffer> {
  const { initialWindowBytes: window, maxStreams: streams } = limits;
  return new Uint8Array(
    writeHello({
      ...{ version: 1, features: [], kind: "http", instance, slot: 0 },
      ...{ window, streams, attempt: 1, received: 0 },
    }),
  );
}
