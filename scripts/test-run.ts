import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface FileTime {
  readonly file: string;
  readonly seconds: number;
}

export interface TestRun extends Counts {
  readonly seconds: number;
  /** Every file that ran, slowest first. */
  readonly times: readonly FileTime[];
  /** stdout and stderr, where they were asked for whole. */
  readonly printed: string;
}

export interface TestRunOptions {
  /** From the project's root. */
  readonly files: readonly string[];
  /** On top of this process's own. */
  readonly environment: Readonly<Record<string, string>>;
  /** For all of them: then what runs is killed, and counts as failed. */
  readonly timeoutMs: number;
  /** What the tests print comes as it is printed, on stdout and stderr or on stderr alone, or whole in the result. */
  readonly output: "inherit" | "stderr" | "whole";
}

const root = join(import.meta.dir, "..");
/** For one test; those that need longer say so themselves. */
const testTimeoutMs = 30_000;

/** All of them, from the project's root, sorted. */
export function testFiles(): string[] {
  return [...new Bun.Glob("tests/**/*.test.ts").scanSync(root)]
    .map((path) => path.replaceAll("\\", "/"))
    .sort();
}

/** Runs `bun test` on files, and counts by its JUnit report: the text is for people. */
export async function runTests({ files, environment, timeoutMs, output }: TestRunOptions): Promise<TestRun> {
  const folder = mkdtempSync(join(tmpdir(), "underpass-test-"));
  const report = join(folder, "report.xml");
  const whole = join(folder, "output.txt");
  const descriptor = openSync(whole, "a");
  const [stdout, stderr] = { inherit: [1, 2], stderr: [2, 2], whole: [descriptor, descriptor] }[output];
  const startedAt = performance.now();
  const child = Bun.spawn(
    [
      process.execPath,
      "test",
      `--timeout=${testTimeoutMs}`,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...files.map((file) => `./${file}`),
    ],
    {
      cwd: root,
      stdio: ["ignore", stdout, stderr],
      env: { ...process.env, ...environment },
    },
  );
  const timer = setTimeout(() => child.kill(), timeoutMs);
  const exitCode = await child.exited;
  clearTimeout(timer);
  const text = await Bun.file(report)
    .text()
    .catch(() => ""); // No report: Bun itself ended early, which counts as a failure below.
  closeSync(descriptor);
  const printed = await Bun.file(whole).text();
  rmSync(folder, { recursive: true, force: true });
  const seconds = (performance.now() - startedAt) / 1000;
  return { ...counts(text, exitCode), seconds, times: fileTimes(text), printed };
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

/** How long each file took, set-up and clean-up with it: a suite that is named after its file is the whole of it. */
export function fileTimes(report: string): FileTime[] {
  const suites = report.matchAll(/<testsuite name="([^"]+)" file="\1"[^>]* time="([\d.]+)"/g);
  return [...suites]
    .map(([, file = "", seconds]) => ({ file, seconds: Number(seconds) }))
    .sort((one, other) => other.seconds - one.seconds);
}
