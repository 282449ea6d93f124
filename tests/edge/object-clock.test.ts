import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import { ObjectClock } from "../../relay/runtimes/object-clock.ts";

const startMs = Date.UTC(2026, 10, 21, 12, 0, 0);
const hourMs = 3_600_000;

/** An object's storage, as far as a clock uses it: each write, as hours from the start, and the alarm. */
class FakeStorage {
  readonly writes: (number | "none")[] = [];
  alarmMs: number | undefined;

  async setAlarm(atMs: number): Promise<void> {
    this.alarmMs = atMs;
    this.writes.push((atMs - startMs) / hourMs);
  }
  async deleteAlarm(): Promise<void> {
    this.alarmMs = undefined;
    this.writes.push("none");
  }
}

/** An object's clock, and what it ran, at which time since the start, in hours. */
class Bench {
  readonly storage = new FakeStorage();
  readonly clock = new ObjectClock(this.storage);
  readonly ran: [string, number][] = [];

  /** Something to run so many hours from the start. */
  at(hours: number, name = `${hours} h`): () => void {
    return this.clock.at(startMs + hours * hourMs, () => {
      this.ran.push([name, (Date.now() - startMs) / hourMs]);
    });
  }
  /** Sleeps until its alarm, or until an event comes before that: no timer runs meanwhile. */
  sleepUntil(hours: number): void {
    jest.setSystemTime(startMs + hours * hourMs);
  }
  /** The platform calls for the alarm, which is gone by then. */
  ring(): void {
    this.storage.alarmMs = undefined;
    this.clock.ring();
  }
}

beforeEach(() => {
  jest.useFakeTimers();
  jest.setSystemTime(startMs);
});
afterEach(() => {
  jest.useRealTimers();
});

const pass = (ms: number): void => void jest.advanceTimersByTime(ms);

describe("a deadline of an object", () => {
  test("that is near is a timer, awake or not, and no alarm", () => {
    const { clock, storage } = new Bench();
    const ran: string[] = [];
    clock.at(startMs + 15_000, () => ran.push("awake"));
    clock.rest();
    clock.at(startMs + 14_000, () => ran.push("at rest"));
    pass(13_999);
    expect(ran).toEqual([]);
    pass(1_001);
    expect(ran).toEqual(["at rest", "awake"]);
    expect(storage.writes).toEqual([]);
  });

  test("that has passed runs at once, but not inside of the call", () => {
    const { clock } = new Bench();
    let ran = 0;
    clock.at(startMs - hourMs, () => ran++);
    expect(ran).toBe(0);
    pass(1);
    expect(ran).toBe(1);
  });

  test("that is far is a timer while the object is awake", () => {
    const bench = new Bench();
    bench.at(2);
    bench.at(1);
    expect(jest.getTimerCount()).toBe(1);
    pass(3 * hourMs);
    expect(bench.ran).toEqual([
      ["1 h", 1],
      ["2 h", 2],
    ]);
    expect([bench.storage.writes, jest.getTimerCount()]).toEqual([[], 0]);
  });

  test("that is further away than a timer can be runs in its time", () => {
    const bench = new Bench();
    bench.at(1_000);
    pass(999 * hourMs);
    expect(bench.ran).toEqual([]);
    pass(hourMs);
    expect(bench.ran).toEqual([["1000 h", 1_000]]);
  });

  test("does not run once it is cancelled, near or far, by timer or alarm", () => {
    const bench = new Bench();
    bench.at(0.001)();
    bench.at(1)();
    const cancel = bench.at(2);
    bench.clock.rest();
    cancel();
    bench.sleepUntil(2);
    bench.ring();
    pass(hourMs);
    expect(bench.ran).toEqual([]);
  });
});

describe("an object that rests", () => {
  test("has no timer, and one alarm for the next of what is far", () => {
    const bench = new Bench();
    for (const hours of [3, 1, 2]) bench.at(hours);
    bench.clock.rest();
    expect(bench.storage.writes).toEqual([1]);
    expect(jest.getTimerCount()).toBe(0);
  });

  test("has no alarm where there is nothing to wait for, and writes nothing for that", () => {
    const bench = new Bench();
    bench.clock.rest();
    expect(bench.storage.writes).toEqual([]);
    bench.at(1)();
    bench.clock.wake();
    bench.clock.rest();
    // It was set at rest; that it is not needed any more is told with the next rest.
    expect(bench.storage.writes).toEqual([1, "none"]);
  });

  test("sets its alarm anew for what is nearer, and for nothing else", () => {
    const bench = new Bench();
    bench.clock.rest();
    for (const hours of [5, 7, 3, 4, 3]) bench.at(hours);
    expect(bench.storage.writes).toEqual([5, 3]);
  });

  test("wakes and rests a thousand times without a write", () => {
    const bench = new Bench();
    bench.at(24);
    bench.clock.rest();
    for (let times = 0; times < 1_000; times++) {
      bench.clock.wake();
      // What a visit sets and cancels.
      const cancels = [bench.at(1 + times / 1_000), bench.at(0.001)];
      pass(1_000);
      for (const cancel of cancels) cancel();
      bench.clock.rest();
    }
    expect(bench.storage.writes).toEqual([24]);
    expect(jest.getTimerCount()).toBe(0);
  });

  test("knows its alarm from before it was ended", () => {
    const before = new Bench();
    before.at(24);
    before.clock.rest();
    const after = new Bench();
    after.clock.alarmMs = before.storage.alarmMs;
    after.at(24);
    after.clock.rest();
    expect(after.storage.writes).toEqual([]);
  });
});

describe("the alarm of an object", () => {
  test("runs what is due, and sets the next", () => {
    const bench = new Bench();
    for (const hours of [2, 1, 3, 1]) bench.at(hours);
    bench.clock.rest();
    bench.sleepUntil(2.5);
    bench.ring();
    expect(bench.ran.map(([name]) => name).sort()).toEqual(["1 h", "1 h", "2 h"]);
    expect(bench.storage.writes).toEqual([1, 3]);
    bench.sleepUntil(3);
    bench.ring();
    expect([bench.ran.length, bench.storage.writes]).toEqual([4, [1, 3]]);
  });

  test("that comes too early is set again", () => {
    const bench = new Bench();
    bench.at(1);
    bench.clock.rest();
    bench.sleepUntil(0.999);
    bench.ring();
    expect([bench.ran, bench.storage.writes]).toEqual([[], [1, 1]]);
  });

  test("that comes while it is awake runs what is due once, and the timers go on", () => {
    const bench = new Bench();
    bench.at(1);
    bench.at(2);
    bench.clock.rest();
    bench.sleepUntil(0.9);
    bench.clock.wake();
    bench.sleepUntil(1);
    bench.ring();
    expect(bench.ran).toEqual([["1 h", 1]]);
    pass(hourMs);
    expect(bench.ran.map(([name]) => name)).toEqual(["1 h", "2 h"]);
    expect(bench.storage.writes).toEqual([1]);
    // It is gone: a rest must set the next.
    bench.at(5);
    bench.clock.rest();
    expect(bench.storage.writes).toEqual([1, 5]);
  });

  test("may run what sets another, near or far", () => {
    const bench = new Bench();
    bench.clock.at(startMs + hourMs, () => {
      bench.at(1.001, "near");
      bench.at(9);
    });
    bench.clock.rest();
    bench.sleepUntil(1);
    bench.ring();
    expect(bench.storage.alarmMs).toBe(startMs + 9 * hourMs);
    pass(0.001 * hourMs);
    expect(bench.ran.map(([name]) => name)).toEqual(["near"]);
  });
});

describe("what is to run soon", () => {
  test("runs after this turn, the first of a millisecond without a timer", async () => {
    const { clock } = new Bench();
    const ran: number[] = [];
    for (const number of [1, 2, 3]) clock.soon(() => ran.push(number));
    expect(ran).toEqual([]);
    await Promise.resolve();
    expect(ran).toEqual([1]);
    pass(1);
    expect(ran).toEqual([1, 2, 3]);
  });
});
