import { afterAll, expect, test } from "bun:test";
import { Cuts } from "../faults/cuts.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 300_000;
/** One every 500 ms: a minute of cuts. */
const cutCount = 120;
const cutEveryMs = 500;
const exchangeCount = 200;
const minCountedPart = 0.8;
const seed = Number(process.env["UNDERPASS_SEED"] ?? 1);

const figures = new Figures();
afterAll(() => figures.print());

test(
  "200 exchanges see only a pause when all links are cut every 500 ms for 60 s",
  async () => {
    const shape = {
      downloads: 92,
      uploads: 52,
      echoes: 60,
      posters: 10,
      minBodyBytes: 256 * 1024,
      maxBodyBytes: 3 * 1024 * 1024,
      pieceEveryMs: 200,
      messageEveryMs: 100,
    };
    const cuts = await Cuts.run({ shape, cuts: cutCount, cutEveryMs, seed });
    const { ledger, report } = cuts;
    if (ledger.problemCount > 0) console.error(ledger.journal.join("\n"));
    figures.note("seed", seed);
    figures.note("cuts, and those with bytes of streams in flight on every link in use", [
      report.cuts,
      report.counted,
    ]);
    figures.note("cuts by kind, and those that counted", report.kinds);
    figures.note("why the others did not count", report.missed);
    figures.note("cuts that took so many links in use at once", report.linksAtOnce);
    figures.note("links that stood still for a moment, and those that were replaced", report.stalls);
    figures.note("dials, and what the agent told of its links", [report.dials, cuts.links]);
    figures.note("exchanges open at a cut, at least", Math.min(...cuts.openAtCuts));
    figures.note("exchanges that ended well", ledger.done);
    figures.note("requests by how often the origin saw them", ledger.arrivals);
    figures.note(
      "MiB down and up",
      [ledger.bytesDown, ledger.bytesUp].map((bytes) => Math.round(bytes / 2 ** 20)),
    );
    figures.note("WebSocket messages, there and back", ledger.messages);
    figures.note("longest pause of an exchange, ms", ledger.pausesMs);
    figures.note("requests that waited for a link", cuts.metrics["held_total"]);
    figures.note("MiB resident at the end and at most", cuts.memory);
    figures.note("problems", ledger.problemCount);
    expect(ledger.problems).toEqual([]);
    expect(ledger.arrivals).toEqual({ 1: ledger.requests });
    expect(Math.min(...cuts.openAtCuts)).toBeGreaterThanOrEqual(exchangeCount);
    expect(report.cuts).toBe(cutCount);
    expect(report.counted).toBeGreaterThanOrEqual(report.cuts * minCountedPart);
  },
  testLimitMs,
);
