import { expect, test } from "bun:test";
import { renewWorst } from "../../agent/renewal.ts";
import type { Slot } from "../../shared/dial/slot.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** A slot as far as a renewal looks at it: its worst round trip of late, and how many messages it carried. */
class FakeSlot {
  received = 0;
  acknowledgedCount = 0;
  renewed = 0;
  hasSession = true;
  constructor(public worstTripMs: number) {}
  get session() {
    if (!this.hasSession) return undefined;
    const { received, acknowledgedCount, worstTripMs } = this;
    const ledger = { received, acknowledgedCount, flight: { worstTripMs } };
    return { driver: { session: { ledger } }, renew: () => void this.renewed++ };
  }
}

const everyMs = 300_000;
/** Of a pool, between two looks, for a renewal to be worth it. */
const busyMessages = 64;

function setUp(trips: readonly number[], random = 0.5) {
  const clock = new VirtualClock();
  const slots = trips.map((ms) => new FakeSlot(ms));
  const stop = renewWorst(slots as unknown as Slot[], clock, () => random);
  const renewed = (): number[] => slots.map((slot) => slot.renewed);
  /** Much is carried by each link, and the next look. */
  const pass = (): void => {
    for (const slot of slots) slot.received += busyMessages;
    clock.advance(everyMs);
  };
  return { clock, slots, stop, renewed, pass };
}

test("the link with the worst round trip is renewed, and no other", () => {
  const { renewed, pass, slots } = setUp([10, 80, 40]);
  pass();
  expect(renewed()).toEqual([0, 1, 0]);
  for (const slot of slots.slice(1, 2)) slot.worstTripMs = 12;
  pass();
  expect(renewed()).toEqual([0, 1, 1]);
});

test("the time between two is 2.5 to 7.5 minutes, by chance", () => {
  for (const [random, afterMs] of [
    [0, 150_000],
    [0.999, 449_700],
  ] as const) {
    const { clock, slots, renewed } = setUp([10, 80], random);
    for (const slot of slots) slot.received += busyMessages;
    clock.advance(afterMs - 1);
    expect(renewed()).toEqual([0, 0]);
    clock.advance(2);
    expect(renewed()).toEqual([0, 1]);
  }
});

test("links that are hardly worse than the best are left alone", () => {
  const { renewed, pass, slots } = setUp([100, 125, 110]);
  pass();
  expect(renewed()).toEqual([0, 0, 0]);
  for (const slot of slots.slice(2)) slot.worstTripMs = 126;
  pass();
  expect(renewed()).toEqual([0, 0, 1]);
});

test("a pool that carried little since the last look is left alone, whichever way and on whichever link that was", () => {
  const { renewed, pass, clock, slots } = setUp([10, 80]);
  const [first, second] = slots as [FakeSlot, FakeSlot];
  pass();
  clock.advance(everyMs);
  clock.advance(everyMs);
  expect(renewed()).toEqual([0, 1]);
  first.received += busyMessages / 2;
  second.acknowledgedCount += busyMessages / 2 - 1;
  clock.advance(everyMs);
  expect(renewed()).toEqual([0, 1]);
  first.received += busyMessages / 2;
  second.acknowledgedCount += busyMessages / 2;
  clock.advance(everyMs);
  expect(renewed()).toEqual([0, 2]);
});

test("a pool that has only begun, or whose sessions have, carried nothing yet", () => {
  const { renewed, pass, clock, slots } = setUp([10, 80]);
  clock.advance(everyMs);
  expect(renewed()).toEqual([0, 0]);
  pass();
  expect(renewed()).toEqual([0, 1]);
  for (const slot of slots) slot.received = 1;
  clock.advance(everyMs);
  expect(renewed()).toEqual([0, 1]);
});

test("a slot without a session counts for nothing, and one alone has nothing to be compared with", () => {
  const { renewed, pass, slots } = setUp([10, 80]);
  for (const slot of slots.slice(0, 1)) slot.hasSession = false;
  pass();
  expect(renewed()).toEqual([0, 0]);
  const alone = setUp([900]);
  alone.pass();
  expect(alone.renewed()).toEqual([0]);
});

test("nothing is renewed, and no timer left, once it is stopped", () => {
  const { renewed, pass, stop, clock } = setUp([10, 80]);
  pass();
  stop();
  expect(clock.timers).toBe(0);
  pass();
  expect(renewed()).toEqual([0, 1]);
});
