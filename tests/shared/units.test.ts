import { describe, expect, test } from "bun:test";
import { UnderpassError } from "../../shared/errors.ts";
import { parseDuration, parseSize } from "../../shared/units.ts";

describe("units", () => {
  test.each([
    ["0", 0],
    ["0s", 0],
    ["250ms", 250],
    ["30s", 30_000],
    ["1.5s", 1_500],
    ["90m", 5_400_000],
    ["1h30m", 5_400_000],
    ["24h", 86_400_000],
    ["30d", 2_592_000_000],
    ["1m1ms", 60_001],
  ])("the duration %s is %d ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each([
    "",
    "10",
    "s",
    "-1s",
    "1 s",
    "1w",
    "1S",
    "1..5s",
    ".5s",
    "1e3s",
    "s1",
    "1h30",
    `${"9".repeat(400)}d`,
    "99999999999999d",
  ])("%p is not a duration", (text) => {
    expect(() => parseDuration(text)).toThrow(UnderpassError);
  });

  test.each([
    ["0", 0],
    ["1B", 1],
    ["64KiB", 65_536],
    ["512MiB", 536_870_912],
    ["512mib", 536_870_912],
    ["1GB", 1_000_000_000],
    ["1.5GiB", 1_610_612_736],
    ["10kB", 10_000],
  ])("the size %s is %d bytes", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each(["", "10", "1K", "1M", "1Mi", "-1KiB", "1 KiB", "1TiB", "MiB", "99999999999999GiB"])(
    "%p is not a size",
    (text) => {
      expect(() => parseSize(text)).toThrow(UnderpassError);
    },
  );
});
