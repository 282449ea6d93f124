import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { openDatagrams } from "../../shared/runtimes/node-datagrams.ts";
import { datagramCases } from "./datagram-cases.ts";

const root = join(import.meta.dir, "../..");

describe("node-datagrams on Bun", () => {
  for (const { name, run } of datagramCases) test(name, () => run(openDatagrams), 10_000);
});

describe("node-datagrams on Deno", () => {
  let results: Record<string, string> = {};
  beforeAll(async () => {
    const script = join(import.meta.dir, "datagrams-deno.ts");
    const deno = join(root, "node_modules/.bin/deno");
    const run = Bun.spawn([deno, "run", "-A", "--no-check", script], {
      cwd: root,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
    expect(await run.exited, err).toBe(0);
    results = JSON.parse(out);
  }, 180_000);
  for (const { name, skipOnDeno } of datagramCases) {
    test.skipIf(skipOnDeno !== undefined)(skipOnDeno ? `${name} (${skipOnDeno})` : name, () =>
      expect(results[name]).toBe(""),
    );
  }
});
