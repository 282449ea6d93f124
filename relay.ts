// The relay: `bun relay.ts`, or the same with `deno run -A relay.ts`.
import process from "node:process";
import { runRelay } from "./relay/runtimes/program.ts";

const sockets = await import(
  "Bun" in globalThis ? "./shared/runtimes/bun-sockets.ts" : "./shared/runtimes/node-sockets.ts"
);
process.exitCode = await runRelay(sockets);
