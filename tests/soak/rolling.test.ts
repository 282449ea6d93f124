import { afterAll, expect, test } from "bun:test";
import { insideRefusal, runInside } from "../netns/inside.ts";
import { type RollingResult, rollingRestart } from "../netns/rolling/rolling-restart.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 900_000;
const size = { restarts: 5, requests: 20_000, visitors: 32 };
const script = "tests/netns/programs/rolling-restart.ts";

const figures = new Figures();
afterAll(() => figures.print());

function note(where: string, result: RollingResult): void {
  const { requests, failures, tookMs, latencyMs } = result;
  figures.note(`rolling restarts ${where}`, {
    restarts: size.restarts,
    requests,
    failed: failures.length,
    seconds: Math.round(tookMs / 1000),
    latencyMs,
  });
}

function expectOnceEach(result: RollingResult): void {
  expect(result.repeated).toEqual([]);
  expect(result.unseen).toEqual([]);
  expect(result.exitCodes).toEqual(Array.from({ length: size.restarts }, () => 0));
  expect(result.requests).toBeGreaterThanOrEqual(size.requests);
}

/** Without the connections that the kernel reset before anybody had accepted them: all that may fail without it. */
function acceptedOnes({ failures }: RollingResult): RollingResult["failures"] {
  return failures.filter(({ first, seen }) => !first || seen > 0);
}

if (insideRefusal !== undefined) console.warn(`Networks of their own are left out: ${insideRefusal}`);

test.skipIf(insideRefusal !== undefined)(
  "five restarts under load fail none of 20,000 requests, with net.ipv4.tcp_migrate_req=1",
  async () => {
    const result = (await runInside(script, { ...size, migrate: 1 })) as RollingResult;
    note("with tcp_migrate_req=1", result);
    expect(result.failures).toEqual([]);
    expectOnceEach(result);
  },
  testLimitMs,
);

test(
  "without it only connections that nobody had accepted fail",
  async () => {
    const result =
      insideRefusal === undefined
        ? ((await runInside(script, { ...size, migrate: 0 })) as RollingResult)
        : await rollingRestart(size);
    note("without tcp_migrate_req", result);
    expect(acceptedOnes(result)).toEqual([]);
    expectOnceEach(result);
  },
  testLimitMs,
);
