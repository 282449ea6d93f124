// Runs the socket cases over node-sockets.ts under Deno; prints {name: "" or what went wrong} as one line of JSON.
import { readFileSync } from "node:fs";
import { argv } from "node:process";
import { dial, listen, startTls } from "../../shared/runtimes/node-sockets.ts";
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
const results: Record<string, string> = {};
// The others would only use up their time.
const cases = socketCases.filter(
  ({ skipOnDeno, skipOnNode }) => skipOnDeno === undefined && skipOnNode === undefined,
);
const later = { ...context, dial: tlsAfter({ dial, startTls }) };
const all = [
  ...cases.map(({ name, run }) => ({ name, run: () => run(context) })),
  ...cases
    .filter(({ name }) => name.includes("TLS"))
    .map(({ name, run }) => ({ name: `${name}, with TLS begun later`, run: () => run(later) })),
];
for (const { name, run } of all) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no end within 10 s")), 10_000);
  });
  try {
    await Promise.race([run(), late]);
    results[name] = "";
  } catch (error) {
    results[name] = error instanceof Error ? `${error.message}\n${error.stack}` : String(error);
  }
  clearTimeout(timer);
}
console.log(JSON.stringify(results));
// Sockets of a failed case would keep the process alive.
process.exit(0);
