/**
 * `bun tests/simulator/run.ts [--seeds N] [--from SEED] [--cuts N]`: runs seeds until one breaks a rule, and prints
 * that one with its shrunk plan. `bun run soak --seeds N` ends here. Exit code 1: a rule was broken.
 */
import { parseArgs } from "node:util";
import { runCampaign, shrinkFailure, type Totals } from "./campaign.ts";
import { Violation } from "./world.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "300" },
    from: { type: "string", default: "1" },
    /** No more seeds after so many cuts. */
    cuts: { type: "string" },
    /** A rule that is broken is named, and nothing is made smaller. */
    terse: { type: "boolean", default: false },
  },
});

// A rule that was broken inside a promise has ended its run; anything else is a fault of its own.
process.on("unhandledRejection", (reason) => {
  if (reason instanceof Violation) return;
  console.log(`A promise was rejected, and nobody looked: ${reason}`);
  process.exitCode = 1;
});

const startedAt = performance.now();
const seconds = (): string => ((performance.now() - startedAt) / 1_000).toFixed(1);
const show = ({ seeds, cuts, busyCuts, restEnds, busyEnds, completed, failed, virtualMs }: Totals): string =>
  `${seeds} seeds, ${cuts} cuts (${Math.round((100 * busyCuts) / Math.max(1, cuts))} % with messages under way), ` +
  `${restEnds} ends of processes at rest and ${busyEnds} with something under way, ` +
  `${completed} exchanges whole, ${failed} ended for a reason that is allowed, ` +
  `${Math.round(virtualMs / 60_000)} virtual minutes in ${seconds()} s`;

let shownAt = startedAt;
const { totals, failure } = runCampaign({
  from: number("from", values.from),
  seeds: number("seeds", values.seeds),
  ...(values.cuts !== undefined && { maxCuts: number("cuts", values.cuts) }),
  progress: (so) => {
    if (values.terse || performance.now() - shownAt < 10_000) return;
    shownAt = performance.now();
    console.log(`  ${show(so)}`);
  },
});
console.log(show(totals));
if (failure === undefined) console.log("No rule was broken.");
else {
  console.log(`Seed ${failure.seed}: ${failure.violation}`);
  if (!values.terse) {
    const plan = shrinkFailure(failure);
    const { links, exchanges, events, ...rest } = plan;
    console.log(`Shrunk: ${JSON.stringify(rest)}`);
    showAll("link", links);
    showAll("exchange", exchanges);
    showAll("event", events);
  }
  process.exitCode = 1;
}

function showAll(name: string, all: readonly unknown[]): void {
  const shown = all.slice(0, 40);
  for (const [place, one] of shown.entries()) console.log(`  ${name} ${place}: ${JSON.stringify(one)}`);
  if (all.length > shown.length) console.log(`  and ${all.length - shown.length} more`);
}

function number(name: string, text: string): number {
  const value = Number(text.replaceAll("_", ""));
  if (Number.isSafeInteger(value) && value >= 0) return value;
  console.error(`--${name} takes a number, not ${text}.`);
  process.exit(2);
}
