import { expect, test } from "bun:test";
import { Lingering, type Rest } from "../../relay/ingress/lingering.ts";
import { objectMemory } from "../../relay/runtimes/object-bounds.ts";
import type { Gauge } from "../../shared/mux/gauge.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";

const mebibyte = 1_048_576;

class Answer implements Rest {
  destroyed = false;
  private gauge: Gauge | undefined;

  constructor(public queued: number) {}

  countIn(gauge: Gauge): void {
    this.gauge = gauge;
    gauge.add(this.queued);
  }
  destroy(): void {
    this.destroyed = true;
    this.take(this.queued);
  }
  take(bytes: number): void {
    this.queued -= bytes;
    this.gauge?.add(-bytes);
  }
}

test("answers that nobody takes have 8 MiB together in an object: above it those that wait longest are cut off", () => {
  const memory = objectMemory();
  const lingering = new Lingering(memory);
  const answers = Array.from({ length: 12 }, () => new Answer(mebibyte));
  const [slow, quick, ...others] = answers;
  if (slow === undefined || quick === undefined) throw new Error("too few");
  lingering.add(slow);
  lingering.add(quick);
  quick.take(mebibyte);
  lingering.remove(quick);
  for (const answer of others.slice(0, 7)) lingering.add(answer);
  expect([slow.destroyed, lingering.heldBytes, memory.held.now]).toEqual([
    ...[false, 8 * mebibyte, 8 * mebibyte],
  ]);
  for (const answer of others.slice(7)) lingering.add(answer);
  expect(answers.map(({ destroyed }) => destroyed)).toEqual([
    ...[true, false, true, true, false, false, false, false, false, false, false, false],
  ]);
  expect(lingering.heldBytes).toBe(8 * mebibyte);
  expect([memory.onCredit.now, memory.beside.now]).toEqual([0, 0]);
});

test("where there is memory, the rests of several answers may be as large as windows", () => {
  const lingering = new Lingering(new Memory(256 * mebibyte));
  const answers = Array.from({ length: 3 }, () => new Answer(limits.maxWindowBytes));
  for (const answer of answers) lingering.add(answer);
  expect(answers.map(({ destroyed }) => destroyed)).toEqual([true, false, false]);
});
