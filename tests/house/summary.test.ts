import { expect, test } from "bun:test";
import { counts } from "../../scripts/test.ts";

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
