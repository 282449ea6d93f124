import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { natsCases } from "./nats-cases.ts";
import { natsServerPath } from "./nats-server.ts";

const root = join(import.meta.dir, "../..");
const isAbsent = natsServerPath === undefined;
const titled = (name: string): string => (isAbsent ? `${name} (nats-server is not installed)` : name);

describe("NATS on Bun", () => {
  for (const { name, run } of natsCases) test.skipIf(isAbsent)(titled(name), run, 20_000);
});

describe.skipIf(isAbsent)("NATS on Deno", () => {
  let results: Record<string, string> = {};
  beforeAll(async () => {
    const deno = join(root, "node_modules/.bin/deno");
    const run = Bun.spawn([deno, "run", "-A", "--no-check", join(import.meta.dir, "nats-deno.ts")], {
      cwd: root,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
    expect(await run.exited, err).toBe(0);
    results = JSON.parse(out);
  }, 180_000);
  for (const { name } of natsCases) test(name, () => expect(results[name]).toBe(""));
});
