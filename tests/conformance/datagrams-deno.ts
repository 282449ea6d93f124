// Runs the datagram cases over node-datagrams.ts under Deno; prints {name: "" or what went wrong} as one line of JSON.
import process from "node:process";
import { openDatagrams } from "../../shared/runtimes/node-datagrams.ts";
import { datagramCases } from "./datagram-cases.ts";

const results: Record<string, string> = {};
for (const { name, run, skipOnDeno } of datagramCases) {
  if (skipOnDeno !== undefined) continue;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no end within 10 s")), 10_000);
  });
  try {
    await Promise.race([run(openDatagrams), late]);
    results[name] = "";
  } catch (error) {
    results[name] = error instanceof Error ? `${error.message}\n${error.stack}` : String(error);
  }
  clearTimeout(timer);
}
console.log(JSON.stringify(results));
// Sockets of a failed case would keep the process alive.
process.exit(0);
