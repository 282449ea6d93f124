import { describe, expect, test } from "bun:test";
import { insideRefusal, runInside } from "../netns/inside.ts";
import { type RollingResult, rollingRestart } from "../netns/rolling/rolling-restart.ts";
import { relayRuntime } from "./programs/relay.ts";

const testLimitMs = 120_000;
const size = { restarts: 2, requests: 1500, visitors: 12 };

function expectNothingLost(result: RollingResult): void {
  expect(result.failures).toEqual([]);
  expect(result.repeated).toEqual([]);
  expect(result.unseen).toEqual([]);
  expect(result.exitCodes).toEqual(Array.from({ length: size.restarts }, () => 0));
  expect(result.requests).toBeGreaterThanOrEqual(size.requests);
}

// A relay in workerd is replaced by its platform.
describe.skipIf(relayRuntime === "workerd")("a rolling restart of the relay", () => {
  test.skipIf(insideRefusal !== undefined)(
    `loses no request and sends none twice, where the kernel hands over what waits to be accepted${because(insideRefusal)}`,
    async () => {
      const result = await runInside("tests/netns/programs/rolling-restart.ts", { ...size, migrate: 1 });
      expectNothingLost(result as RollingResult);
    },
    testLimitMs,
  );

  // The stand-in for the one above: connections that the kernel resets before anybody has accepted them are not ours.
  test.skipIf(insideRefusal === undefined)(
    "loses nothing that was accepted, and sends nothing twice, where no network of its own can be made",
    async () => {
      const result = await rollingRestart(size);
      const accepted = result.failures.filter(({ first, seen }) => !first || seen > 0);
      expectNothingLost({ ...result, failures: accepted });
    },
    testLimitMs,
  );
});

function because(reason: string | undefined): string {
  return reason === undefined ? "" : ` (skipped: ${reason})`;
}
