import { describe, expect, test } from "bun:test";
import { add, defaultShape, emptyTotals, runCampaign, runPlan, type Totals } from "./campaign.ts";
import { makePlan } from "./make-plan.ts";
import type { Plan } from "./plan.ts";
import { shrink } from "./shrink.ts";

describe("an agent and a relay in virtual time", () => {
  test("serve all exchanges, byte for byte, while nothing happens to them", () => {
    const { totals, failure } = runCampaign({
      from: 1,
      seeds: 200,
      shape: { ...defaultShape, links: 20, cuts: false, events: false },
    });
    expect(failure?.violation).toBeUndefined();
    expect(totals.failed).toBe(0);
    expect(totals.completed).toBeGreaterThan(2_000);
  });

  test("lose nothing over links that are cut at any byte, and nothing but links", () => {
    const { totals, failure } = runCampaign({
      from: 1,
      seeds: 50,
      shape: { ...defaultShape, events: false },
    });
    expect(failure?.violation).toBeUndefined();
    expect(totals.cuts).toBeGreaterThan(4_000);
    // Four of five with messages under way: the others cut what says nothing.
    expect(totals.busyCuts / totals.cuts).toBeGreaterThan(0.75);
  });

  test("fail an exchange for no other reason than one that is named, whatever happens to them", () => {
    const { totals, failure } = runCampaign({ from: 1_001, seeds: 60 });
    expect(failure?.violation).toBeUndefined();
    expect(totals.cuts).toBeGreaterThan(4_000);
    // So the reasons are reached, and are the exception.
    expect(totals.failed).toBeGreaterThan(20);
    expect(totals.failed / totals.completed).toBeLessThan(0.1);
    expect(totals.restEnds).toBeGreaterThan(10);
    expect(totals.busyEnds).toBeGreaterThan(10);
  });
});

describe("a relay whose process is ended by its platform, which keeps its links", () => {
  /** Longer than a relay waits for a sign of life. */
  const idleMs = 50_000;

  /** One exchange after the other, with nothing but pings for a while in between, and an end every so often. */
  function run(options: { readonly atRest: boolean; readonly everyMs: number }): Totals {
    const totals = emptyTotals();
    for (let seed = 0; seed < 40; seed++) {
      const plan = makePlan(seed, { links: 20, cuts: false, events: false });
      const exchanges = plan.exchanges.map((one, place) => {
        const atMs = one.delayMs + place * 500;
        return { ...one, delayMs: place < 10 ? atMs : atMs + idleMs };
      });
      const events = Array.from({ length: Math.floor(10_000 / options.everyMs) }, (_, place) => {
        const when = { afterLinks: 0, delayMs: place * options.everyMs };
        return { ...when, do: "end" as const, atRest: options.atRest };
      });
      const outcome = runPlan({ ...plan, exchanges, events, sleeps: true, slots: 1, end: "bye" });
      expect(outcome.violation).toBeUndefined();
      add(totals, outcome);
    }
    return totals;
  }

  test("loses and resets nothing when that is at rest, and no link", () => {
    const { seeds, dials, restEnds, busyEnds, completed, failed } = run({ atRest: true, everyMs: 200 });
    expect([busyEnds, failed, dials]).toEqual([0, 0, seeds]);
    expect(restEnds).toBeGreaterThan(300);
    expect(completed).toBeGreaterThan(500);
  });

  test("loses what is under way, of which its agents hear, and nothing that comes later", () => {
    const { busyEnds, completed, failed } = run({ atRest: false, everyMs: 70 });
    expect(busyEnds).toBeGreaterThan(60);
    expect(failed).toBeGreaterThan(40);
    expect(completed).toBeGreaterThan(2 * failed);
  });
});

describe("a seed", () => {
  test("gives the same run each time, and another one another", () => {
    const [once, again, other] = [7, 7, 8].map((seed) => runPlan(makePlan(seed, defaultShape)));
    expect(again).toEqual(once);
    expect(other?.trace).not.toBe(once?.trace);
  });
});

describe("a plan that fails", () => {
  const plan = makePlan(3, defaultShape);
  const hasReset = ({ exchanges }: Plan) =>
    exchanges.some(({ agent }) => agent.steps.some((step) => step.do === "reset"));

  test("is shrunk to what makes it fail", () => {
    expect(hasReset(plan)).toBe(true);
    const small = shrink(plan, hasReset, 2_000);
    expect(hasReset(small)).toBe(true);
    expect([small.links.length, small.events.length, small.exchanges.length]).toEqual([0, 0, 1]);
  });

  test("is shrunk with as many runs as are allowed", () => {
    let runs = 0;
    const never = () => {
      runs++;
      return false;
    };
    expect(shrink(plan, never, 50)).toEqual(plan);
    expect(runs).toBe(50);
  });
});
