// Runs the cases of NATS under Deno; prints {name: "" or what went wrong} as one line of JSON.
import process from "node:process";
import { natsCases } from "./nats-cases.ts";

const results: Record<string, string> = {};
for (const { name, run } of natsCases) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no end within 20 s")), 20_000);
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
process.exit(0);
