// The relay: `bun relay.ts`, or the same with `deno task relay`; on Deno Deploy this is the entrypoint.
import process from "node:process";
import { type RelayEdge, type RelaySockets, runRelay } from "./relay/runtimes/program.ts";

// Deno reads what it imports by a literal without asking for a permission, and what names Bun it can't check.
const bunSockets = "./shared/runtimes/bun-sockets.ts";
const isBun = "Bun" in globalThis;
const sockets: RelaySockets = isBun
  ? await import(bunSockets)
  : await import("./shared/runtimes/node-sockets.ts");
let edge: RelayEdge | undefined;
// Set for each program on Deno Deploy, and nowhere else.
if (!isBun && process.env["DENO_DEPLOYMENT_ID"]) {
  const { denoDeploy } = await import("./relay/runtimes/deno-deploy.ts");
  edge = denoDeploy;
}
process.exitCode = await runRelay(sockets, edge);
