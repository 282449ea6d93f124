/**
 * A program: opens many WebSockets to BENCH_IDLE's `relay`, prints the seconds that took, and keeps them until it is
 * stopped. With the argument `serve` it is the other end, whose first line is its port.
 */
import type { IdleOptions } from "./idle-tunnels.ts";

const atATime = 64;

if (process.argv[2] === "serve") {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) =>
      server.upgrade(request) ? undefined : new Response("no WebSocket", { status: 400 }),
    websocket: { message() {}, idleTimeout: 0 },
  });
  console.log(server.port);
} else {
  const { relay, count } = JSON.parse(process.env["BENCH_IDLE"] ?? "{}") as IdleOptions;
  const startMs = performance.now();
  let next = 0;
  const kept: WebSocket[] = [];
  await Promise.all(
    Array.from({ length: atATime }, async () => {
      while (next < count) {
        next++;
        const socket = new WebSocket(relay.replace("http", "ws"));
        await new Promise<void>((resolve, reject) => {
          socket.onopen = () => resolve();
          socket.onerror = () => reject(new Error("a WebSocket was refused"));
        });
        kept.push(socket);
      }
    }),
  );
  console.log((performance.now() - startMs) / 1_000);
}
