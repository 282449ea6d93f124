/**
 * `npm test [-- FILTER...]`: all tests, group by group, and a last line `N passed, N failed`. Groups run one after
 * another, so that a test of throughput or memory is not disturbed by the next file's processes. `npm run soak` runs
 * only what takes too long for every day; `npm run soak -- --seeds N` only the simulator, with so many seeds.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const root = join(import.meta.dir, "..");
/** The whole run is to stay under ten minutes; a group that hangs must not eat more than this. */
const groupTimeoutMs = 8 * 60_000;
/** A soak may run for a night. */
const soakTimeoutMs = 12 * 3_600_000;
/** For one test; those that need longer say so themselves. */
const testTimeoutMs = 30_000;

/** A set of files, run once with what it is told by environment variables. */
interface Group {
  readonly title: string;
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  /** What the group leaves out, because it makes no sense there. */
  readonly without?: RegExp;
  /** A script to run first. */
  readonly prepare?: string;
}

/** What starts programs runs apart from the units, and where it says so again on another runtime. */
const programGroups: readonly Group[] = [
  {
    title: "black box, relay on Bun",
    folder: "tests/blackbox/",
    environment: { UNDERPASS_TEST_RELAY: "bun" },
  },
  {
    title: "black box, relay on Deno",
    folder: "tests/blackbox/",
    environment: { UNDERPASS_TEST_RELAY: "deno" },
    // What is about the agent, which is the same one.
    without: /\/(agent-cli|commands|config|proxy-browser|usage)\.test\.ts$/,
  },
  {
    title: "black box, relay in workerd",
    folder: "tests/blackbox/",
    environment: { UNDERPASS_TEST_RELAY: "workerd" },
    // There is no program to start, and the platform reads and writes WebSocket frames itself.
    without: /\/(agent-cli|relay-cli|usage|autobahn|tls)\.test\.ts$/,
  },
  {
    title: "black box, the agent's binary",
    folder: "tests/blackbox/",
    environment: { UNDERPASS_TEST_RELAY: "bun", UNDERPASS_TEST_AGENT: join(root, "dist/underpass") },
    // What is about the relay would say the same thing again.
    without:
      /\/(autobahn|databases|drain|egress|egress-names|hold|iperf|matrix|names|proxy-browser|proxy-protocol|relay-cli|restart|rolling|routing|servers|sse|ssh|tls-tunnel|udp|usage)\.test\.ts$/,
    prepare: "scripts/build-agent.ts",
  },
  { title: "house", folder: "tests/house/", environment: {} },
];

const soakGroups: readonly Group[] = [
  { title: "simulator", folder: "tests/simulator/soak/", environment: {} },
  { title: "soak", folder: "tests/soak/", environment: {} },
];

/** What `npm run soak` says again over links without WebSocket; tests/blackbox/sse.test.ts has the essence for every day. */
const againGroup: Group = {
  title: "black box, links without WebSocket behind nginx",
  folder: "tests/blackbox/",
  environment: { UNDERPASS_TEST_RELAY: "bun", UNDERPASS_TEST_WAY: "nginx" },
  // They count or cut sockets, restart what nginx has open, or have a way of their own.
  without: /\/(agent-cli|relay-cli|usage|autobahn|tls|drain|rolling|cuts|http-proxy|matrix|sse)\.test\.ts$/,
};

function testFiles(): string[] {
  return [...new Bun.Glob("tests/**/*.test.ts").scanSync(root)]
    .map((path) => path.replaceAll("\\", "/"))
    .sort();
}

/** Runs `bun test` on `files`, streaming its output, and counts by its JUnit report: the text is for people. */
async function run(
  files: readonly string[],
  environment: Group["environment"],
  timeoutMs: number,
): Promise<Counts> {
  const folder = mkdtempSync(join(tmpdir(), "underpass-test-"));
  const report = join(folder, "report.xml");
  const child = Bun.spawn(
    [
      process.execPath,
      "test",
      `--timeout=${testTimeoutMs}`,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...files.map((file) => `./${file}`),
    ],
    { cwd: root, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, ...environment } },
  );
  const timer = setTimeout(() => child.kill(), timeoutMs);
  const exitCode = await child.exited;
  clearTimeout(timer);
  const text = await Bun.file(report)
    .text()
    .catch(() => ""); // No report: Bun itself ended early, which counts as a failure below.
  rmSync(folder, { recursive: true, force: true });
  return counts(text, exitCode);
}

/** What a JUnit report says. An exit code of failure with no failed test (a file that can't be loaded) counts as one. */
export function counts(report: string, exitCode: number): Counts {
  const [total = ""] = report.match(/<testsuites\b[^>]*>/) ?? [];
  const number = (name: string): number => Number(total.match(new RegExp(`\\b${name}="(\\d+)"`))?.[1] ?? 0);
  const skipped = number("skipped");
  const failed = number("failures") + number("errors");
  return {
    passed: number("tests") - failed - skipped,
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped,
  };
}

function chosenGroups(filters: readonly string[], soak: boolean): (Group & { members: readonly string[] })[] {
  const wanted = testFiles().filter(
    (file) => filters.length === 0 || filters.some((part) => file.includes(part)),
  );
  const apart = soak ? [...soakGroups, againGroup] : programGroups;
  const isSoak = (file: string) => soakGroups.some(({ folder }) => file.startsWith(folder));
  const files = soak
    ? wanted.filter((file) => isSoak(file) || file.startsWith(againGroup.folder))
    : wanted.filter((file) => !isSoak(file));
  const groups = apart.map((group) => ({
    ...group,
    members: files.filter((file) => file.startsWith(group.folder) && !group.without?.test(file)),
  }));
  const units = files.filter((file) => !apart.some(({ folder }) => file.startsWith(folder)));
  return [{ title: "units", folder: "tests/", environment: {}, members: units }, ...groups].filter(
    ({ members }) => members.length > 0,
  );
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { soak: { type: "boolean", default: false }, seeds: { type: "string" } },
    allowPositionals: true,
  });
  const { seeds } = values;
  const soak = values.soak || seeds !== undefined;
  const filters = seeds === undefined ? positionals : ["tests/simulator/soak/"];
  const timeoutMs = soak ? soakTimeoutMs : groupTimeoutMs;
  const lines: string[] = [];
  let passed = 0;
  let failed = 0;
  for (const { title, members, environment, prepare } of chosenGroups(filters, soak)) {
    console.log(`\n── ${title} (${members.length} files)`);
    const startedAt = performance.now();
    if (prepare !== undefined)
      await Bun.spawn([process.execPath, join(root, prepare)], { stdout: "inherit", stderr: "inherit" })
        .exited;
    const told = seeds === undefined ? environment : { ...environment, UNDERPASS_SEEDS: seeds };
    const result = await run(members, told, timeoutMs);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    passed += result.passed;
    failed += result.failed;
    lines.push(
      `${title}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped in ${seconds} s`,
    );
  }
  console.log(`\n${lines.join("\n")}`);
  if (passed + failed === 0) console.log("No test ran.");
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
