import { expect, test } from "bun:test";
import { Names } from "../../relay/names.ts";
import { type AgentSession, Tunnels } from "../../relay/tunnels.ts";
import type { Driver } from "../../shared/driver.ts";

function setUp(): Tunnels {
  const names = new Names({ ttlMs: 1_000, maxNames: 10, random: (bytes) => bytes });
  names.claim("blue", "me", "http", 0);
  return new Tunnels(names);
}

function session(instance: string, slot: number): AgentSession {
  const driver = { session: { openStreams: 0, leaving: false } } as unknown as Driver;
  return { driver, instance, slot, generation: 0, leaving: false };
}

const alone = { join: false, nowMs: 0 };

test("a newer instance takes over, and the older one's next slot is turned away for the resume window", () => {
  const tunnels = setUp();
  const [a0, b0] = [session("a", 0), session("b", 0)];
  expect(tunnels.add("blue", a0, alone).superseded).toEqual([]);
  expect(tunnels.add("blue", b0, alone).superseded).toEqual([a0]);
  // Both dial two links at once: without the memory a1 would take the name back from b, and both would give up.
  expect(tunnels.isSuperseded("blue", "a", 1)).toBe(true);
  expect(tunnels.isSuperseded("blue", "b", 1)).toBe(false);
  expect(tunnels.add("blue", session("b", 1), alone).superseded).toEqual([]);
  expect(tunnels.isSuperseded("blue", "a", 60_001)).toBe(false);
});

test("an older instance that was away does not take the name back within the resume window", () => {
  const tunnels = setUp();
  const [a0, b0] = [session("a", 0), session("b", 0)];
  tunnels.add("blue", a0, alone);
  tunnels.remove("blue", a0, 1_000);
  tunnels.add("blue", b0, { join: false, nowMs: 2_000 });
  expect(tunnels.isSuperseded("blue", "a", 3_000)).toBe(true);
  tunnels.remove("blue", b0, 4_000);
  // Nobody is there to take the name from.
  expect(tunnels.isSuperseded("blue", "a", 5_000)).toBe(false);
});

test("an instance's later sessions leave alone who has joined meanwhile", () => {
  const tunnels = setUp();
  const joined = session("j", 0);
  tunnels.add("blue", session("a", 0), alone);
  tunnels.add("blue", joined, { join: true, nowMs: 0 });
  expect(tunnels.add("blue", session("a", 1), alone).superseded).toEqual([]);
  expect(joined.leaving).toBe(false);
  expect(tunnels.isSuperseded("blue", "a", 1)).toBe(false);
});

test("a session takes the place of one with its own instance and slot, whose link must be dead", () => {
  const tunnels = setUp();
  const [old, other] = [session("a", 0), session("a", 1)];
  tunnels.add("blue", old, alone);
  tunnels.add("blue", other, alone);
  const { replaced, superseded } = tunnels.add("blue", session("a", 0), alone);
  expect([replaced, superseded]).toEqual([[old], []]);
  expect([old.leaving, other.leaving]).toEqual([true, false]);
});

test("an instance that joins leaves the others alone, and the generation tells instances apart", () => {
  const tunnels = setUp();
  const first = tunnels.add("blue", session("a", 0), alone);
  const second = tunnels.add("blue", session("b", 0), { join: true, nowMs: 0 });
  expect(second.superseded).toEqual([]);
  expect(second.generation).toBeGreaterThan(first.generation);
  expect(tunnels.add("blue", session("b", 1), { join: true, nowMs: 0 }).generation).toBe(second.generation);
});

test("a tunnel whose agents are all leaving can't be reached, and is gone with the last of them", () => {
  const tunnels = setUp();
  const only = session("a", 0);
  tunnels.add("blue", only, alone);
  expect(tunnels.find("blue")?.reachable).toBe(true);
  only.leaving = true;
  expect(tunnels.find("blue")?.reachable).toBe(false);
  tunnels.remove("blue", only, 1);
  expect(tunnels.find("blue")).toBeUndefined();
});
