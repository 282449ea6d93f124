import { test } from "bun:test";
import { type RelayRuntime, relayRuntime } from "./relay.ts";

/** What a runtime can't carry, and why. */
export type Limits = Partial<Record<RelayRuntime, string>>;

/** A test that says, where the relay's runtime can't do it, why it is left out there. */
export function testExcept(
  limits: Limits,
  name: string,
  run: () => Promise<unknown>,
  limitMs?: number,
): void {
  const reason = limits[relayRuntime];
  if (reason === undefined) test(name, async () => void (await run()), limitMs);
  else test.skip(`${name} (not on ${relayRuntime}: ${reason})`, () => {});
}
