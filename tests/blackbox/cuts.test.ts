import { expect } from "bun:test";
import { Cuts } from "../faults/cuts.ts";
import { testExcept } from "./programs/except.ts";

const testLimitMs = 120_000;
/** Of 14 cuts a slow machine may let some meet a link that is not back yet. The soak has the bar. */
const minCountedPart = 0.5;

testExcept(
  { workerd: "the cuts are made between processes, and its sockets are not in one of ours" },
  "downloads, uploads and WebSockets see only a pause when all links are cut every 500 ms",
  async () => {
    const shape = { downloads: 22, uploads: 15, echoes: 15, posters: 4 };
    const bodies = {
      minBodyBytes: 128 * 1024,
      maxBodyBytes: 768 * 1024,
      pieceEveryMs: 120,
      messageEveryMs: 60,
    };
    const cuts = await Cuts.run({ shape: { ...shape, ...bodies }, cuts: 14, cutEveryMs: 500, seed: 3 });
    const { ledger, report } = cuts;
    if (ledger.problemCount > 0) console.error(ledger.journal.join("\n"));
    expect(ledger.problems).toEqual([]);
    expect(ledger.arrivals).toEqual({ 1: ledger.requests });
    expect(Math.min(...cuts.openAtCuts)).toBeGreaterThanOrEqual(48);
    expect([report.cuts, report.counted >= report.cuts * minCountedPart]).toEqual([14, true]);
  },
  testLimitMs,
);
