import { describe, expect, test } from "bun:test";
import { defaultShape, runCampaign, runPlan } from "./campaign.ts";
import { makePlan } from "./make-plan.ts";
import type { EventPlan, Plan } from "./plan.ts";
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
  /** One exchange after the other, and an end of the process every so often. */
  function plans(seeds: number, { atRest, everyMs }: { atRest: boolean; everyMs: number }): Plan[] {
    return Array.from({ length: seeds }, (_, seed) => {
      const plan = makePlan(seed, { links: 20, cuts: false, events: false });
      const end = (place: number): EventPlan => ({
        afterLinks: 0,
        delayMs: place * everyMs,
        do: "end",
        atRest,
      });
      return {
        ...{ ...plan, sleeps: true },
        exchanges: plan.exchanges.map((one, place) => ({ ...one, delayMs: one.delayMs + place * 1_000 })),
        events: Array.from({ length: Math.floor(20_000 / everyMs) }, (_, place) => end(place)),
      };
    });
  }

  function run(all: readonly Plan[]): {
    restEnds: number;
    busyEnds: number;
    completed: number;
    failed: number;
  } {
    const totals = { restEnds: 0, busyEnds: 0, completed: 0, failed: 0 };
    for (const plan of all) {
      const outcome = runPlan(plan);
      expect(outcome.violation).toBeUndefined();
      for (const key of ["restEnds", "busyEnds", "completed", "failed"] as const) totals[key] += outcome[key];
    }
    return totals;
  }

  test("loses and resets nothing when that is at rest", () => {
    const { restEnds, busyEnds, completed, failed } = run(plans(40, { atRest: true, everyMs: 500 }));
    expect([busyEnds, failed]).toEqual([0, 0]);
    expect(restEnds).toBeGreaterThan(500);
    expect(completed).toBeGreaterThan(500);
  });

  test("loses what is under way, of which its agents hear, and nothing that comes later", () => {
    const { busyEnds, completed, failed } = run(plans(40, { atRest: false, everyMs: 130 }));
    expect(busyEnds).toBeGreaterThan(100);
    expect(failed).toBeGreaterThan(50);
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
