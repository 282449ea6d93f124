/**
 * `npm test [-- FILTER...]`: all tests, group by group (scripts/test-groups.ts), two groups at a time, and a last line
 * `N passed, N failed`. `npm run soak` runs only what takes too long for every day; `npm run soak -- --seeds N` only the
 * simulator, with so many seeds.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { dailyGroups, type Group, membersOf, soakGroups } from "./test-groups.ts";
import { runTests, testFiles } from "./test-run.ts";

/** The whole run is to stay under ten minutes; a group that hangs must not eat more than this. */
const groupTimeoutMs = 8 * 60_000;
/** A soak may run for a night. */
const soakTimeoutMs = 12 * 3_600_000;
const dailyAtOnce = 2;
/** How many of a group's files are named in the summary: where its time went. */
const slowestShown = 3;

interface Settings {
  readonly wanted: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

interface Outcome {
  readonly line: string;
  readonly passed: number;
  readonly failed: number;
}

/** What the tests print comes as it is printed, or whole when the group is over. */
async function runGroup(group: Group, settings: Settings, output: "inherit" | "whole"): Promise<Outcome> {
  const files = membersOf(group, settings.wanted);
  const { title, prepare } = group;
  const heading = `\n── ${title} (${files.length} files)`;
  console.log(output === "whole" ? `${heading} begins` : heading);
  if (prepare !== undefined)
    await Bun.spawn([process.execPath, join(import.meta.dir, "..", prepare)], {
      stdout: "inherit",
      stderr: "inherit",
    }).exited;
  const environment = { ...group.environment, ...settings.environment };
  const run = await runTests({ files, environment, timeoutMs: settings.timeoutMs, output });
  if (output === "whole") console.log(`${heading}\n${run.printed}`);
  const { passed, failed, skipped, seconds } = run;
  const slowest = run.times.slice(0, slowestShown).map((time) => `${time.file} ${time.seconds.toFixed(0)} s`);
  return {
    ...{ passed, failed },
    line: `${title}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds.toFixed(0)} s (${slowest.join(", ")})`,
  };
}

/** So many at a time, begun in order. */
async function runGroups(groups: readonly Group[], settings: Settings, atOnce: number): Promise<Outcome[]> {
  const output = atOnce > 1 && groups.length > 1 ? "whole" : "inherit";
  const outcomes: Outcome[] = [];
  const waiting = groups.entries();
  const runOn = async () => {
    for (const [index, group] of waiting) outcomes[index] = await runGroup(group, settings, output);
  };
  await Promise.all(Array.from({ length: atOnce }, runOn));
  return outcomes;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { soak: { type: "boolean", default: false }, seeds: { type: "string" } },
    allowPositionals: true,
  });
  const { seeds } = values;
  const soak = values.soak || seeds !== undefined;
  const filters = seeds === undefined ? positionals : ["tests/simulator/soak/"];
  const settings = {
    wanted: testFiles().filter((file) => filters.length === 0 || filters.some((part) => file.includes(part))),
    environment: seeds === undefined ? {} : { UNDERPASS_SEEDS: seeds },
    timeoutMs: soak ? soakTimeoutMs : groupTimeoutMs,
  };
  const groups = (soak ? soakGroups : dailyGroups).filter(
    (group) => membersOf(group, settings.wanted).length > 0,
  );
  const outcomes = await runGroups(groups, settings, soak ? 1 : dailyAtOnce);
  const sum = (count: (outcome: Outcome) => number) => outcomes.reduce((all, one) => all + count(one), 0);
  const [passed, failed] = [sum((one) => one.passed), sum((one) => one.failed)];
  console.log(`\n${outcomes.map(({ line }) => line).join("\n")}`);
  if (passed + failed === 0) console.log("No test ran.");
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
