import { makePlan, type PlanShape } from "./make-plan.ts";
import type { Plan } from "./plan.ts";
import { shrink } from "./shrink.ts";
import { type Outcome, Simulation } from "./simulation.ts";

export interface Campaign {
  /** The first seed. */
  readonly from: number;
  readonly seeds: number;
  /** No more seeds are begun after so many cuts. */
  readonly maxCuts?: number;
  readonly shape?: PlanShape;
  /** Every so many seeds one is run twice, and must be the same. 0: none. */
  readonly twiceEvery?: number;
  /** Told now and then. */
  readonly progress?: (totals: Totals) => void;
}

export interface Totals {
  seeds: number;
  dials: number;
  cuts: number;
  busyCuts: number;
  steps: number;
  virtualMs: number;
  completed: number;
  failed: number;
  restEnds: number;
  busyEnds: number;
}

/** A seed that breaks a rule. */
export interface Failure {
  readonly seed: number;
  readonly violation: string;
  readonly plan: Plan;
}

export interface Result {
  readonly totals: Totals;
  readonly failure: Failure | undefined;
}

export const defaultShape: PlanShape = { links: 100, cuts: true, events: true };

/** Runs seed after seed until one fails. */
export function runCampaign(campaign: Campaign): Result {
  const { from, seeds, maxCuts = Number.POSITIVE_INFINITY, shape = defaultShape, twiceEvery = 50 } = campaign;
  const totals = emptyTotals();
  for (let seed = from; seed < from + seeds && totals.cuts < maxCuts; seed++) {
    const plan = makePlan(seed, shape);
    const outcome = runPlan(plan);
    add(totals, outcome);
    let { violation } = outcome;
    if (violation === undefined && twiceEvery > 0 && seed % twiceEvery === 0) {
      const { trace, steps } = runPlan(plan);
      if (trace !== outcome.trace || steps !== outcome.steps)
        violation = "a second run of the seed is another";
    }
    if (violation !== undefined) return { totals, failure: { seed, violation, plan } };
    campaign.progress?.(totals);
  }
  return { totals, failure: undefined };
}

export function runPlan(plan: Plan): Outcome {
  return new Simulation(plan).run();
}

/** A smaller plan that breaks the same rule. */
export function shrinkFailure({ plan, violation }: Failure, maxRuns = 1_500): Plan {
  const rule = ruleOf(violation);
  return shrink(plan, (smaller) => ruleOf(runPlan(smaller).violation ?? "") === rule, maxRuns);
}

/** A violation without its numbers and its side: what makes two of them alike. */
function ruleOf(violation: string): string {
  return (violation.split("\n")[0] ?? "").replace(/[\d.]+/g, "N");
}

export function emptyTotals(): Totals {
  return {
    ...{ seeds: 0, dials: 0, cuts: 0, busyCuts: 0, restEnds: 0, busyEnds: 0 },
    ...{ steps: 0, virtualMs: 0, completed: 0, failed: 0 },
  };
}

/** One more run. */
export function add(totals: Totals, outcome: Outcome): void {
  totals.seeds++;
  const { violation: _, trace: __, ...counts } = outcome;
  for (const key of Object.keys(counts) as (keyof typeof counts)[]) totals[key] += counts[key];
}
