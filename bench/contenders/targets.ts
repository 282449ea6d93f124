import type { Target, Targets, Way } from "./contender.ts";

/** One target for each way, made one after another. */
export async function targetsOf(ways: readonly Way[], make: (way: Way) => Promise<Target>): Promise<Targets> {
  const targets: Partial<Record<Way, Target>> = {};
  for (const way of ways) targets[way] = await make(way);
  return targets;
}
