// Runs the socket cases over node-sockets.ts under Deno.
import { readFileSync } from "node:fs";
import { argv } from "node:process";
import { dial, listen, startTls } from "../../shared/runtimes/node-sockets.ts";
import { runOnDeno } from "./run-on-deno.ts";
import { socketCases } from "./socket-cases.ts";
import { tlsAfter } from "./tls-after.ts";

const [certPath = "", keyPath = "", unixEcho = ""] = argv.slice(2);
const context = {
  dial,
  listen,
  cert: readFileSync(certPath, "utf8"),
  key: readFileSync(keyPath, "utf8"),
  unixEcho,
};
// The others would only use up their time.
const cases = socketCases.filter(
  ({ skipOnDeno, skipOnNode }) => skipOnDeno === undefined && skipOnNode === undefined,
);
const later = { ...context, dial: tlsAfter({ dial, startTls }) };
await runOnDeno(
  [
    ...cases.map(({ name, run }) => ({ name, run: () => run(context) })),
    ...cases
      .filter(({ name }) => name.includes("TLS"))
      .map(({ name, run }) => ({ name: `${name}, with TLS begun later`, run: () => run(later) })),
  ],
  10_000,
);
