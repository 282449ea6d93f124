import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { openDatagrams } from "../../shared/runtimes/node-datagrams.ts";
import { datagramCases } from "./datagram-cases.ts";
import { denoResults } from "./deno-results.ts";

describe("node-datagrams on Bun", () => {
  for (const { name, run } of datagramCases) test(name, () => run(openDatagrams), 10_000);
});

describe("node-datagrams on Deno", () => {
  let results: Record<string, string> = {};
  beforeAll(async () => {
    results = await denoResults(join(import.meta.dir, "datagrams-deno.ts"));
  }, 180_000);
  for (const { name, skipOnDeno } of datagramCases) {
    test.skipIf(skipOnDeno !== undefined)(skipOnDeno ? `${name} (${skipOnDeno})` : name, () =>
      expect(results[name]).toBe(""),
    );
  }
});
