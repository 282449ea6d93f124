import { expect, test } from "bun:test";
import { join } from "node:path";

/** A night. */
const testLimitMs = 12 * 3_600_000;
/** `npm run soak -- --seeds N` says how many. */
const seeds = process.env["UNDERPASS_SEEDS"] ?? "500";

test(
  `${seeds} seeds of about a hundred cuts each break no rule`,
  async () => {
    const program = join(import.meta.dir, "../run.ts");
    const child = Bun.spawn([process.execPath, program, "--seeds", seeds], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    // The failing seed and its shrunk plan stand in the output.
    expect(await child.exited).toBe(0);
  },
  testLimitMs,
);
