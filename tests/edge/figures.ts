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
