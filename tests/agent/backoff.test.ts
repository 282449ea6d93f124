import { expect, test } from "bun:test";
import { Backoff } from "../../shared/dial/backoff.ts";

const high = 1 - Number.EPSILON;

test("the first redial comes within 250 ms, the next ones within a span that doubles up to the cap", () => {
  const backoff = new Backoff({ maxDelayMs: 3_000, random: () => high });
  const delays = Array.from({ length: 7 }, () => Math.round(backoff.next()));
  expect(delays).toEqual([250, 500, 1_000, 2_000, 3_000, 3_000, 3_000]);
});

test("each delay is uniform from 0", () => {
  const backoff = new Backoff({ maxDelayMs: 30_000, random: () => 0 });
  expect([backoff.next(), backoff.next(), backoff.next()]).toEqual([0, 0, 0]);
  const half = new Backoff({ maxDelayMs: 30_000, random: () => 0.5 });
  expect([half.next(), half.next()]).toEqual([125, 250]);
});

test("progress begins anew", () => {
  const backoff = new Backoff({ maxDelayMs: 30_000, random: () => high });
  for (let i = 0; i < 5; i++) backoff.next();
  backoff.succeeded();
  expect(Math.round(backoff.next())).toBe(250);
});

test("a relay's hint is a minimum, above the cap too, and the spread stays", () => {
  const backoff = new Backoff({ maxDelayMs: 1_000, random: () => 0.5 });
  expect(backoff.next(5_000)).toBe(5_125);
  expect(backoff.next(5_000)).toBe(5_250);
  expect(backoff.next(-1)).toBe(500);
});

test("a cap below 250 ms holds from the first, and thousands of tries stay at the cap", () => {
  const backoff = new Backoff({ maxDelayMs: 100, random: () => high });
  for (let i = 0; i < 3_000; i++) expect(Math.round(backoff.next())).toBe(100);
});

test("200 agents that lose a relay at once do not come in a crowd", () => {
  const moments = Array.from({ length: 200 }, () =>
    new Backoff({ maxDelayMs: 30_000, random: Math.random }).next(),
  );
  moments.sort((a, b) => a - b);
  for (const from of moments) {
    expect(moments.filter((moment) => moment >= from && moment < from + 100).length).toBeLessThan(125);
  }
});
