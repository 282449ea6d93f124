import { expect, test } from "bun:test";
import { dailyGroups, membersOf, soakGroups } from "../../scripts/test-groups.ts";
import { counts, fileTimes, testFiles } from "../../scripts/test-run.ts";

const report = (numbers: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="bun test" ${numbers} time="0.1">\n<testsuite name="a" tests="9" failures="9">`;

test("the summary counts what the report's outermost element says", () => {
  expect(counts(report('tests="38" assertions="40" failures="3" skipped="2"'), 1)).toEqual({
    passed: 33,
    failed: 3,
    skipped: 2,
  });
});

test("a run that fails without a failed test counts as one failure", () => {
  expect(counts(report('tests="5" assertions="5" failures="0" skipped="0"'), 1)).toEqual({
    passed: 5,
    failed: 1,
    skipped: 0,
  });
});

test("a run that leaves no report counts as one failure", () => {
  expect(counts("", 139)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

test("each file's time is that of its outermost suite, the slowest first", () => {
  const suite = (name: string, file: string, time: string, line = "") =>
    `<testsuite name="${name}" file="${file}"${line} tests="7" failures="0" time="${time}" hostname="vm">\n`;
  const text = [
    suite("tests/a.test.ts", "tests/a.test.ts", "0.25"),
    suite("a describe", "tests/a.test.ts", "0.2", ' line="7"'),
    suite("tests/b.test.ts", "tests/b.test.ts", "12.5"),
  ];
  expect(fileTimes(text.join(""))).toEqual([
    { file: "tests/b.test.ts", seconds: 12.5 },
    { file: "tests/a.test.ts", seconds: 0.25 },
  ]);
});

test("every test file has its place in `npm test` or in `npm run soak`", () => {
  const files = testFiles();
  const placed = new Set([...dailyGroups, ...soakGroups].flatMap((group) => membersOf(group, files)));
  expect(files.filter((file) => !placed.has(file))).toEqual([]);
});

test("no file runs twice in the same way", () => {
  const places = testFiles().flatMap((file) =>
    dailyGroups
      .filter((group) => membersOf(group, [file]).length > 0)
      .map((group) => JSON.stringify([file, group.environment])),
  );
  expect(places.length).toBe(new Set(places).size);
});
