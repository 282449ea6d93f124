/**
 * `npm test [-- FILTER...]`: all tests, group by group, and a last line `N passed, N failed`. What a test of throughput
 * or memory needs to itself it has; see scripts/test-groups.ts. `npm run soak` runs only what takes too long for every
 * day; `npm run soak -- --seeds N` only the simulator, with so many seeds.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { dailyStages, type Group, type Lane, membersOf, soakStages } from "./test-groups.ts";
import { runTests, testFiles } from "./test-run.ts";

/** The whole run is to stay under ten minutes; a group that hangs must not eat more than this. */
const groupTimeoutMs = 8 * 60_000;
/** A soak may run for a night. */
const soakTimeoutMs = 12 * 3_600_000;
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

/** undefined: none of its files is wanted. What the tests print comes as it is printed, or whole when the group is over. */
async function runGroup(
  group: Group,
  settings: Settings,
  output: "inherit" | "whole",
): Promise<Outcome | undefined> {
  const files = membersOf(group, settings.wanted);
  if (files.length === 0) return undefined;
  const { title, prepare } = group;
  const heading = `\n── ${title} (${files.length} files)`;
  if (output === "inherit") console.log(heading);
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

async function runLane(lane: Lane, settings: Settings, output: "inherit" | "whole"): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const group of lane) {
    const outcome = await runGroup(group, settings, output);
    if (outcome !== undefined) outcomes.push(outcome);
  }
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
  const outcomes: Outcome[] = [];
  for (const lanes of soak ? soakStages : dailyStages) {
    // Two at once can't both be read as they go.
    const running = lanes.map((lane, index) => runLane(lane, settings, index === 0 ? "inherit" : "whole"));
    outcomes.push(...(await Promise.all(running)).flat());
  }
  const sum = (count: (outcome: Outcome) => number) => outcomes.reduce((all, one) => all + count(one), 0);
  const [passed, failed] = [sum((one) => one.passed), sum((one) => one.failed)];
  console.log(`\n${outcomes.map(({ line }) => line).join("\n")}`);
  if (passed + failed === 0) console.log("No test ran.");
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
