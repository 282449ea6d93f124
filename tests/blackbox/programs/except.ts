import { test } from "bun:test";
import { isCluster, type RelayRuntime, relayRuntime } from "./relay.ts";

/** What a runtime can't carry, and why; `cluster`: where the agent is at another relay than the visitor. */
export type Limits = Partial<Record<RelayRuntime | "cluster", string>>;

/** A test that says, where the relay's runtime can't do it, why it is left out there. */
export function testExcept(
  limits: Limits,
  name: string,
  run: () => Promise<unknown>,
  limitMs?: number,
): void {
  const place = isCluster && limits.cluster !== undefined ? "cluster" : relayRuntime;
  const reason = limits[place];
  if (reason === undefined) test(name, async () => void (await run()), limitMs);
  else test.skip(`${name} (not on ${place}: ${reason})`, () => {});
}
