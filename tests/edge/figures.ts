import { appendFileSync } from "node:fs";

/** Says where the figures of a run go: a file with one JSON object `{ name, value }` a line. */
export const figuresVariable = "UNDERPASS_TEST_FIGURES";

/**
 * What a test has measured, for `bun run edge -- --json`; nothing without the environment variable. Where a name comes
 * again, the highest number stays, and an object is joined key by key under the same rule.
 */
export function record(name: string, value: number | string | object): void {
  const path = process.env[figuresVariable];
  if (path === undefined) return;
  appendFileSync(path, `${JSON.stringify({ name, value })}\n`);
}

/** What was recorded in a file, joined. Throws on a line that `record` did not write. */
export function joinFigures(text: string): Record<string, unknown> {
  let all: Record<string, unknown> = {};
  for (const line of text.split("\n").filter((each) => each !== "")) {
    const { name, value } = JSON.parse(line) as { name: string; value: unknown };
    all = joined(all, { [name]: value }) as Record<string, unknown>;
  }
  return all;
}

function joined(before: unknown, now: unknown): unknown {
  if (typeof before === "number" && typeof now === "number") return Math.max(before, now);
  if (!isObject(before) || !isObject(now)) return now;
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  return Object.fromEntries(
    [...names].map((name) => [name, name in now ? joined(before[name], now[name]) : before[name]]),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
