import { expect, test } from "bun:test";
import { watchSleep } from "../../shared/sleep.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";

/** A machine whose date goes on while its timers stand still. */
class SleepyClock extends VirtualClock {
  asleepMs = 0;
  override date(): number {
    return super.date() + this.asleepMs;
  }
}

function setUp(): { clock: SleepyClock; woken: number[]; stop: () => void } {
  const clock = new SleepyClock();
  const woken: number[] = [];
  const stop = watchSleep(clock, () => woken.push(clock.now()));
  return { clock, woken, stop };
}

test("a date that has moved 2 s more than the timers tells of a sleep, within a second, once", () => {
  const { clock, woken } = setUp();
  clock.advance(60_000);
  expect(woken).toEqual([]);
  clock.asleepMs += 3_600_000;
  const wokeMs = clock.now();
  clock.advance(1_000);
  expect(woken).toHaveLength(1);
  expect(woken[0] ?? 0).toBeLessThanOrEqual(wokeMs + 1_000);
  clock.advance(60_000);
  expect(woken).toHaveLength(1);
  clock.asleepMs += 2_001;
  clock.advance(1_000);
  expect(woken).toHaveLength(2);
});

test("a date that is set a little, or drifts, is no sleep", () => {
  const { clock, woken } = setUp();
  for (let second = 0; second < 100; second++) {
    clock.asleepMs += 1_900;
    clock.advance(1_000);
    clock.asleepMs -= 100;
    clock.advance(1_000);
  }
  expect(woken).toEqual([]);
});

test("a date that jumps back counts too: nobody knows how long that took", () => {
  const { clock, woken } = setUp();
  clock.asleepMs -= 10_000;
  clock.advance(1_000);
  expect(woken).toHaveLength(1);
});

test("nothing is watched any more, and no timer is left, once it is stopped", () => {
  const { clock, woken, stop } = setUp();
  clock.advance(5_500);
  stop();
  expect(clock.timers).toBe(0);
  clock.asleepMs += 60_000;
  clock.advance(5_000);
  expect(woken).toEqual([]);
});

test("who wakes may stop the watch", () => {
  const clock = new SleepyClock();
  let wakes = 0;
  const stop = watchSleep(clock, () => {
    wakes++;
    stop();
  });
  clock.asleepMs += 60_000;
  clock.advance(1_000);
  clock.asleepMs += 60_000;
  clock.advance(10_000);
  expect([wakes, clock.timers]).toEqual([1, 0]);
});
