import { expect, test } from "bun:test";
import fc from "fast-check";
import { Metrics } from "../../relay/metrics.ts";
import { type HeldPlace, type HeldRequest, Hold, type HoldLimits, holdLimits } from "../../shared/hold.ts";
import { Gauge } from "../../shared/mux/gauge.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";

function setUp(limits: Partial<HoldLimits> = {}) {
  const clock = new VirtualClock();
  const metrics = new Metrics();
  const held = new Gauge();
  return { clock, metrics, held, hold: new Hold({ clock, metrics, held }, { ...holdLimits, ...limits }) };
}

/** A request that writes down what becomes of it. */
function request(story: string[], id: string, taken: () => boolean): HeldRequest {
  return {
    tryAgain: () => {
      const now = taken();
      story.push(now ? `${id} taken` : `${id} waits`);
      return now;
    },
    expire: () => void story.push(`${id} expired`),
  };
}

test("who came first is tried first, and the first that is not taken ends the round", () => {
  const { hold } = setUp();
  const story: string[] = [];
  let room = 2;
  for (const id of ["a", "b", "c", "d"])
    hold.enter(
      "blue",
      request(story, id, () => room-- > 0),
      1,
    );
  hold.enter(
    "red",
    request(story, "other", () => true),
    1,
  );
  hold.tryAgain("blue");
  expect(story).toEqual(["a taken", "b taken", "c waits"]);
  room = 9;
  hold.tryAgain("blue");
  expect(story.slice(3)).toEqual(["c taken", "d taken"]);
  expect([hold.waiting, hold.holds("blue"), hold.holds("red")]).toEqual([1, false, true]);
});

test("each waits its time and no longer, with one timer for all and none when nobody waits", () => {
  const { clock, hold, metrics } = setUp({ askAgainMs: 1_000_000 });
  const story: string[] = [];
  const never = () => false;
  expect(clock.timers).toBe(0);
  hold.enter("blue", request(story, "a", never), 1);
  clock.advance(4_000);
  hold.enter("red", request(story, "b", never), 1);
  expect(clock.timers).toBe(1);
  clock.advance(5_999);
  expect(story).toEqual([]);
  clock.advance(1);
  expect(story.filter((line) => line.endsWith("expired"))).toEqual(["a expired"]);
  clock.advance(4_000);
  expect(story.filter((line) => line.endsWith("expired"))).toEqual(["a expired", "b expired"]);
  expect([clock.timers, hold.waiting, hold.heldBytes]).toEqual([0, 0, 0]);
  const counts = metrics.text().match(/^underpass_held.*$/gm);
  expect(counts).toEqual(["underpass_held 0", "underpass_held_total 2", "underpass_held_expired_total 2"]);
});

test("room that comes by itself, in a session that was full, is found without being told", () => {
  const { clock, hold } = setUp();
  const story: string[] = [];
  let free = false;
  hold.enter(
    "blue",
    request(story, "a", () => free),
    1,
  );
  clock.advance(1_000);
  free = true;
  clock.advance(holdLimits.askAgainMs);
  expect(story.at(-1)).toBe("a taken");
  expect(clock.timers).toBe(0);
});

test("number for each tunnel, number in all and bytes are bounded, and a place that is left is free", () => {
  const never: HeldRequest = { tryAgain: () => false, expire() {} };
  const { hold } = setUp({ maxPerTunnel: 2, maxWaiting: 3, maxHeldBytes: 100 });
  const first = hold.enter("blue", never, 10);
  hold.enter("blue", never, 10);
  expect(hold.enter("blue", never, 10)).toBeUndefined();
  const third = hold.enter("red", never, 10);
  expect(hold.enter("green", never, 10)).toBeUndefined();
  first?.leave();
  first?.leave();
  expect(hold.enter("green", never, 81)).toBeUndefined();
  expect(hold.enter("green", never, 80)).toBeDefined();
  expect(third?.grow(1)).toBe(false);
  expect([hold.waiting, hold.heldBytes, hold.holds("red")]).toEqual([2, 90, false]);
  // Nobody is there whose bytes it could be.
  expect(third?.grow(1_000)).toBe(true);
  expect(hold.heldBytes).toBe(90);
});

test("what happens inside a try does no harm: others leave, come, or try as well", () => {
  const { hold } = setUp();
  const story: string[] = [];
  const places: (HeldPlace | undefined)[] = [];
  const first: HeldRequest = {
    tryAgain: () => {
      story.push("first");
      places[1]?.leave();
      hold.enter(
        "blue",
        request(story, "late", () => true),
        1,
      );
      hold.tryAgain("blue");
      return true;
    },
    expire() {},
  };
  places.push(hold.enter("blue", first, 1));
  for (const id of ["second", "third"])
    places.push(
      hold.enter(
        "blue",
        request(story, id, () => true),
        1,
      ),
    );
  hold.tryAgain("blue");
  hold.tryAgain("blue");
  expect(story).toEqual(["first", "third taken", "late taken"]);
  expect([hold.waiting, hold.heldBytes]).toEqual([0, 0]);
});

/** What may happen to a hold; numbers choose tunnels, places and sizes. */
const deed = fc.oneof(
  fc.record({ kind: fc.constant("enter" as const), tunnel: fc.nat(2), bytes: fc.nat(40) }),
  fc.record({ kind: fc.constant("leave" as const), at: fc.nat(30) }),
  fc.record({ kind: fc.constant("grow" as const), at: fc.nat(30), bytes: fc.nat(40) }),
  fc.record({ kind: fc.constant("room" as const), tunnel: fc.nat(2), room: fc.nat(3) }),
  fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 900 }) }),
);

interface Waiter {
  readonly id: number;
  readonly tunnel: number;
  readonly sinceMs: number;
  bytes: number;
  place: HeldPlace | undefined;
  end: "taken" | "expired" | "left" | "refused" | undefined;
}

test("whatever happens, each request ends once, in its turn, in time, and nothing is left of it", () => {
  const limits = { holdMs: 1_000, askAgainMs: 50, maxPerTunnel: 4, maxWaiting: 8, maxHeldBytes: 150 };
  const ends = { taken: 0, expired: 0, refused: 0, left: 0 };
  fc.assert(
    fc.property(fc.array(deed, { minLength: 20, maxLength: 60 }), (deeds) => {
      const { clock, held, hold, metrics } = setUp(limits);
      const waiters: Waiter[] = [];
      const room = [0, 0, 0];
      const waiting = (tunnel?: number) =>
        waiters.filter((one) => one.end === undefined && (tunnel === undefined || one.tunnel === tunnel));
      const over = (one: Waiter, end: NonNullable<Waiter["end"]>) => {
        expect(one.end).toBeUndefined();
        one.end = end;
        ends[end]++;
      };
      const enter = (tunnel: number, bytes: number) => {
        const one: Waiter = {
          id: waiters.length,
          tunnel,
          sinceMs: clock.now(),
          bytes,
          place: undefined,
          end: undefined,
        };
        const fits =
          waiting(tunnel).length < limits.maxPerTunnel &&
          waiting().length < limits.maxWaiting &&
          waiting().reduce((sum, other) => sum + other.bytes, bytes) <= limits.maxHeldBytes;
        one.place = hold.enter(
          String(tunnel),
          {
            tryAgain: () => {
              expect(waiting(tunnel)[0]?.id).toBe(one.id);
              if ((room[tunnel] ?? 0) === 0) return false;
              room[tunnel] = (room[tunnel] ?? 0) - 1;
              over(one, "taken");
              return true;
            },
            expire: () => {
              expect(clock.now()).toBe(one.sinceMs + limits.holdMs);
              over(one, "expired");
            },
          },
          bytes,
        );
        expect(one.place !== undefined).toBe(fits);
        if (one.place === undefined) ends.refused++;
        else waiters.push(one);
      };
      for (const what of deeds) {
        if (what.kind === "enter") enter(what.tunnel, what.bytes);
        else if (what.kind === "pass") clock.advance(what.ms);
        else if (what.kind === "room") {
          room[what.tunnel] = what.room;
          hold.tryAgain(String(what.tunnel));
          // Told of room, nobody waits beside it.
          expect((room[what.tunnel] ?? 0) === 0 || waiting(what.tunnel).length === 0).toBe(true);
        } else {
          const one = waiting()[what.at % Math.max(1, waiting().length)];
          if (one === undefined) continue;
          if (what.kind === "leave") {
            one.place?.leave();
            over(one, "left");
          } else if (one.place?.grow(what.bytes) === true) one.bytes += what.bytes;
          else over(one, "refused");
        }
        expect(hold.waiting).toBe(waiting().length);
        expect(metrics.held).toBe(hold.waiting);
        expect(hold.heldBytes).toBe(waiting().reduce((sum, one) => sum + one.bytes, 0));
        expect(held.now).toBe(hold.heldBytes);
        expect(hold.heldBytes).toBeLessThanOrEqual(limits.maxHeldBytes);
        expect(clock.timers).toBe(hold.waiting > 0 ? 1 : 0);
      }
      clock.advance(limits.holdMs);
      expect([waiting().length, hold.waiting, hold.heldBytes, clock.timers]).toEqual([0, 0, 0, 0]);
    }),
    { numRuns: 500 },
  );
  // Else the property says little.
  for (const count of Object.values(ends)) expect(count).toBeGreaterThan(30);
});
