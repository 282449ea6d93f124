import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { denoResults } from "../conformance/deno-results.ts";
import { natsCases } from "./nats-cases.ts";
import { natsServerPath } from "./nats-server.ts";

const isAbsent = natsServerPath === undefined;
const titled = (name: string): string => (isAbsent ? `${name} (nats-server is not installed)` : name);

describe("NATS on Bun", () => {
  for (const { name, run } of natsCases) test.skipIf(isAbsent)(titled(name), run, 20_000);
});

describe.skipIf(isAbsent)("NATS on Deno", () => {
  let results: Record<string, string> = {};
  beforeAll(async () => {
    results = await denoResults(join(import.meta.dir, "nats-deno.ts"));
  }, 180_000);
  for (const { name } of natsCases) test(name, () => expect(results[name]).toBe(""));
});
