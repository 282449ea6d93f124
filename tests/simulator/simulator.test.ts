import { describe, expect, test } from "bun:test";
import { defaultShape, runCampaign, runPlan } from "./campaign.ts";
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
