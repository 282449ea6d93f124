/**
 * `bun run edge [-- --json] [--soak]`: all that is tested with the relay in workerd, at the oldest and at the newest
 * compatibility date; with `--soak` the long tests of it, too (at the newest). With `--json` stdout is one object: what
 * passed in each suite, and what the tests have measured (tests/edge/figures.ts).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { figuresVariable, joinFigures } from "../tests/edge/figures.ts";
import { workersDate, workersVariable } from "../tests/edge/workers-date.ts";
import { edge, edgeSoak, inNewestWorkerd, membersOf } from "./test-groups.ts";
import { runTests, testFiles } from "./test-run.ts";

/** The long ones have an hour. */
const suiteTimeoutMs = 60 * 60_000;

interface Suite {
  readonly name: string;
  /** The compatibility date. */
  readonly date: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
}

const daily = { edge, "black box": inNewestWorkerd };

async function runSuites(output: "inherit" | "stderr", figures: string, soak: boolean): Promise<Suite[]> {
  const suites: Suite[] = [];
  const ages = { newest: { ...daily, ...(soak && { soak: edgeSoak }) }, oldest: daily };
  for (const [age, groups] of Object.entries(ages)) {
    for (const [name, group] of Object.entries(groups)) {
      const date = workersDate(age).compatibilityDate;
      console.error(`\n── ${name}, ${date}`);
      const { passed, failed, skipped, seconds } = await runTests({
        files: membersOf(group, testFiles()),
        environment: { ...group.environment, [workersVariable]: age, [figuresVariable]: figures },
        timeoutMs: suiteTimeoutMs,
        output,
      });
      suites.push({ name, date, passed, failed, skipped, seconds: Number(seconds.toFixed(1)) });
    }
  }
  return suites;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { json: { type: "boolean", default: false }, soak: { type: "boolean", default: false } },
  });
  const folder = mkdtempSync(join(tmpdir(), "underpass-edge-"));
  const file = join(folder, "figures");
  const suites = await runSuites(values.json ? "stderr" : "inherit", file, values.soak);
  const text = await Bun.file(file)
    .text()
    .catch(() => ""); // Nothing was measured: its tests have failed.
  rmSync(folder, { recursive: true, force: true });
  const sum = (count: (suite: Suite) => number) => suites.reduce((all, suite) => all + count(suite), 0);
  const [passed, failed, skipped] = [
    sum((suite) => suite.passed),
    sum((suite) => suite.failed),
    sum((suite) => suite.skipped),
  ];
  const {
    wakeUps = null,
    constructorRuns = null,
    bytesBufferedMost = null,
    bundleKiB = null,
    ...others
  } = joinFigures(text);
  const report = {
    suites,
    cases: { passed, failed, skipped },
    wakeUps,
    constructorRuns,
    bytesBufferedMost: most(bytesBufferedMost),
    bundleKiB,
    figures: { ...others, bytesBuffered: bytesBufferedMost },
  };
  if (values.json) console.log(JSON.stringify(report));
  else {
    console.table(suites);
    console.log(JSON.stringify({ ...report, suites: undefined }, null, 2));
    console.log(`${passed} passed, ${failed} failed`);
  }
  return failed === 0 && passed > 0 ? 0 : 1;
}

/** The highest of a figure that has several; null: none was measured. */
function most(figure: unknown): number | null {
  const values = typeof figure === "object" && figure !== null ? Object.values(figure) : [figure];
  const numbers = values.filter((value) => typeof value === "number");
  return numbers.length === 0 ? null : Math.max(...numbers);
}

process.exit(await main());
