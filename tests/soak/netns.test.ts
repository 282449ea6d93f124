import { afterAll, expect, test } from "bun:test";
import { runInside } from "../netns/inside.ts";
import type { RoamingResult } from "../netns/programs/roaming.ts";
import type { SingleDownloadResult } from "../netns/programs/single-download.ts";
import { wideAreaRefusal } from "../netns/wide-area.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 3_600_000;
/** Half of the round trip of 150 ms, and one packet in a hundred, each way. */
const road = { delayMs: 75, lossPercent: 1 };
const mebibyte = 1024 * 1024;
const leastRatio = 0.8;

const figures = new Figures();
afterAll(() => figures.print());

if (wideAreaRefusal !== undefined) console.warn(`The wide area is left out: ${wideAreaRefusal}`);

test.skipIf(wideAreaRefusal !== undefined)(
  "a download outlives changes of the address of the agent's host, at 150 ms and 1 % loss",
  async () => {
    const options = { ...road, bytes: 12 * mebibyte, moveAt: [3, 6, 9].map((at) => at * mebibyte) };
    const result = (await runInside("tests/netns/programs/roaming.ts", options)) as RoamingResult;
    const { means, longestPauseMs, tookMs, links } = result;
    figures.note("roaming", { means, moves: options.moveAt.length, longestPauseMs, tookMs, links });
    expect(result.complete).toBe(true);
    expect(result.bytes).toBe(options.bytes);
    expect(result.sha256).toBe(result.wanted);
  },
  testLimitMs,
);

// Loss governs what TCP reaches, and how much differs between its congestion controls: sizes for about 20 s each.
test.skipIf(wideAreaRefusal !== undefined).each([
  ["the system's congestion control", { bytes: 32 * mebibyte, rounds: 6 }],
  ["reno", { congestionControl: "reno", bytes: 2 * mebibyte, rounds: 8 }],
])(
  "a single download reaches 0.8 of a direct one at 150 ms and one packet in a hundred lost, with %s",
  async (_name, size) => {
    const options = { ...road, ...size };
    const result = (await runInside(
      "tests/netns/programs/single-download.ts",
      options,
    )) as SingleDownloadResult;
    const { means, congestionControl, direct, tunnel } = result;
    const ratio = median(tunnel) / median(direct);
    figures.note(`single download with ${congestionControl}`, {
      means,
      ratio: Math.round(ratio * 100) / 100,
      kibPerSecond: {
        direct: Math.round(median(direct) / 1024),
        tunnel: Math.round(median(tunnel) / 1024),
      },
      spread: { direct: spreadOf(direct), tunnel: spreadOf(tunnel) },
    });
    expect(result.wrong).toBe(0);
    expect(ratio).toBeGreaterThanOrEqual(leastRatio);
  },
  testLimitMs,
);

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** Lowest and highest, as parts of the median. */
function spreadOf(values: readonly number[]): readonly [number, number] {
  const middle = median(values);
  const rounded = (value: number) => Math.round((value / middle) * 100) / 100;
  return [rounded(Math.min(...values)), rounded(Math.max(...values))];
}
