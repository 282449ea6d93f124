import type { Plan } from "./plan.ts";

/** Says of a plan whether it still fails. */
export type StillFails = (plan: Plan) => boolean;

/** The smallest plan that was found to fail like `plan`, with at most `maxRuns` runs (delta debugging, greedily). */
export function shrink(plan: Plan, stillFails: StillFails, maxRuns: number): Plan {
  let best = plan;
  let runs = 0;
  const attempt = (next: Plan): boolean => {
    if (runs >= maxRuns) return false;
    runs++;
    if (!stillFails(next)) return false;
    best = next;
    return true;
  };
  for (let before = -1; before !== runs && runs < maxRuns; ) {
    before = runs;
    const size = sizeOf(best);
    for (const key of ["events", "exchanges", "links"] as const) dropPieces(key);
    dropSteps();
    simplify();
    if (sizeOf(best) === size) break;
  }
  return best;

  /** Leaves out halves, quarters, and in the end single ones. */
  function dropPieces(key: "events" | "exchanges" | "links"): void {
    for (let piece = best[key].length; piece >= 1; piece = piece === 1 ? 0 : Math.ceil(piece / 2))
      for (let at = 0; at < best[key].length; ) {
        const kept = [...best[key].slice(0, at), ...best[key].slice(at + piece)];
        if (!attempt({ ...best, [key]: kept })) at += piece;
      }
  }

  /** What ends a direction stays, and what the other side waits for. */
  function dropSteps(): void {
    for (let number = 0; number < best.exchanges.length; number++)
      for (const side of ["relay", "agent"] as const)
        for (let at = 0; ; ) {
          const exchange = best.exchanges[number];
          const step = exchange?.[side].steps[at];
          if (exchange === undefined || step === undefined) break;
          if (step.do === "end" || step.do === "finish" || step.do === "left") {
            at++;
            continue;
          }
          const steps = exchange[side].steps.filter((_, place) => place !== at);
          if (!attempt(withExchange(number, { ...exchange, [side]: { ...exchange[side], steps } }))) at++;
        }
  }

  function withExchange(number: number, exchange: Plan["exchanges"][number]): Plan {
    return { ...best, exchanges: best.exchanges.map((one, place) => (place === number ? exchange : one)) };
  }

  /** Plainer links and one slot. */
  function simplify(): void {
    if (best.slots > 1) attempt({ ...best, slots: 1 });
    for (let number = 0; number < best.links.length; number++) {
      const link = best.links[number];
      if (link === undefined) continue;
      const put = (next: Plan["links"][number]) =>
        attempt({ ...best, links: best.links.map((one, place) => (place === number ? next : one)) });
      if (link.jitterMs > 0) put({ ...link, jitterMs: 0 });
      const now = best.links[number] ?? link;
      if (now.bytesPerMs > 0) put({ ...now, bytesPerMs: 0 });
    }
    for (let number = 0; number < best.exchanges.length; number++) {
      const exchange = best.exchanges[number];
      if (exchange === undefined) continue;
      for (const side of ["relay", "agent"] as const) {
        const { steps, reads } = (best.exchanges[number] ?? exchange)[side];
        const current = best.exchanges[number] ?? exchange;
        if (reads !== undefined) attempt(withExchange(number, { ...current, [side]: { steps } }));
      }
    }
  }
}

function sizeOf({ links, exchanges, events }: Plan): number {
  return JSON.stringify([links, exchanges, events]).length;
}
