import { expect, test } from "bun:test";
import type { AgentSession } from "../../relay/agent-session.ts";
import type { Claims } from "../../relay/auth/claims.ts";
import { Names } from "../../relay/names.ts";
import { Suspended } from "../../relay/suspended.ts";
import { Tunnels } from "../../relay/tunnels.ts";
import type { Driver } from "../../shared/driver.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";

function setUp(): Tunnels {
  const names = new Names({ ttlMs: 1_000, maxNames: 10, random: (bytes) => bytes });
  names.claim("blue", "me", "http", 0);
  const memory = new Memory(1_048_576);
  return new Tunnels(names, { memory, suspended: new Suspended(memory), resumeWindowMs: 60_000 });
}

let made = 0;

const claims = {
  ...{ issuer: "underpass", subject: "me", kinds: ["http"], connect: [], egress: [] },
  issuedAtMs: 0,
  expiresAtMs: Number.POSITIVE_INFINITY,
} satisfies Claims;

function session(instance: string, slot: number): AgentSession {
  const facts = { openStreams: 0, leaving: false, over: false, heldBytes: 0 };
  const driver = {
    session: facts,
    isUp: true,
    confirmed: true,
    hasLink: true,
    heardMs: 0,
  } as unknown as Driver;
  const id = `session-${++made}`;
  return {
    ...{ id, secret: "", name: "blue", kind: "http", offersEgress: false, owner: "me", driver, claims },
    ...{ instance, slot, attempt: 1 },
    ...{ generation: 0, leaving: false, saidBye: false, graceUntilMs: Number.POSITIVE_INFINITY },
  };
}

const alone = { join: false, nowMs: 0 };

test("a newer instance takes over, and the older one's next slot is turned away for the resume window", () => {
  const tunnels = setUp();
  const [a0, b0] = [session("a", 0), session("b", 0)];
  expect(tunnels.add(a0, alone).superseded).toEqual([]);
  expect(tunnels.add(b0, alone).superseded).toEqual([a0]);
  // Both dial two links at once: without the memory a1 would take the name back from b, and both would give up.
  expect(tunnels.isSuperseded("blue", "a", 1)).toBe(true);
  expect(tunnels.isSuperseded("blue", "b", 1)).toBe(false);
  expect(tunnels.add(session("b", 1), alone).superseded).toEqual([]);
  expect(tunnels.isSuperseded("blue", "a", 60_001)).toBe(false);
});

test("an older instance that was away does not take the name back within the resume window", () => {
  const tunnels = setUp();
  const [a0, b0] = [session("a", 0), session("b", 0)];
  tunnels.add(a0, alone);
  tunnels.remove(a0, 1_000);
  tunnels.add(b0, { join: false, nowMs: 2_000 });
  expect(tunnels.isSuperseded("blue", "a", 3_000)).toBe(true);
  tunnels.remove(b0, 4_000);
  // Nobody is there to take the name from.
  expect(tunnels.isSuperseded("blue", "a", 5_000)).toBe(false);
});

test("an instance's later sessions leave alone who has joined meanwhile", () => {
  const tunnels = setUp();
  const joined = session("j", 0);
  tunnels.add(session("a", 0), alone);
  tunnels.add(joined, { join: true, nowMs: 0 });
  expect(tunnels.add(session("a", 1), alone).superseded).toEqual([]);
  expect(joined.leaving).toBe(false);
  expect(tunnels.isSuperseded("blue", "a", 1)).toBe(false);
});

test("a session takes the place of one with its own instance and slot, whose link must be dead", () => {
  const tunnels = setUp();
  const [old, other] = [session("a", 0), session("a", 1)];
  tunnels.add(old, alone);
  tunnels.add(other, alone);
  const { replaced, superseded } = tunnels.add(session("a", 0), alone);
  expect([replaced, superseded]).toEqual([[old], []]);
  expect([old.leaving, other.leaving]).toEqual([true, false]);
});

test("an instance that joins leaves the others alone, and the generation tells instances apart", () => {
  const tunnels = setUp();
  const [first, second, third] = [session("a", 0), session("b", 0), session("b", 1)];
  tunnels.add(first, alone);
  expect(tunnels.add(second, { join: true, nowMs: 0 }).superseded).toEqual([]);
  expect(second.generation).toBeGreaterThan(first.generation);
  tunnels.add(third, { join: true, nowMs: 0 });
  expect(third.generation).toBe(second.generation);
});

test("a tunnel whose agents are all leaving can't be reached, and is gone with the last of them", () => {
  const tunnels = setUp();
  const only = session("a", 0);
  tunnels.add(only, alone);
  expect(tunnels.find("blue")?.reaches("http")).toBe(true);
  only.leaving = true;
  expect(tunnels.find("blue")?.reaches("http")).toBe(false);
  tunnels.remove(only, 1);
  expect(tunnels.find("blue")).toBeUndefined();
});

test("a tunnel that has half of all streams leaves the last eighth to others", () => {
  const memory = new Memory(64 * 2 ** 20);
  const names = new Names({ ttlMs: 1, maxNames: 10, random: (bytes) => bytes });
  const tunnels = new Tunnels(names, { memory, suspended: new Suspended(memory), resumeWindowMs: 60_000 });
  const capacity = memory.capBytes / 2 / limits.initialWindowBytes;
  const [hog, other] = [session("a", 0), { ...session("b", 0), name: "red" }];
  for (const one of [hog, other]) {
    let open = 0;
    Object.defineProperty(one.driver.session, "openStreams", { get: () => open });
    Object.assign(one.driver.session, {
      ledger: { flight: { rate: 0, roadMs: 1 } },
      unacknowledgedBytes: 0,
      open() {
        if (!memory.admit(limits.initialWindowBytes)) return undefined;
        open++;
        return {};
      },
    });
    tunnels.add(one, alone);
  }
  const visit = (name: string) => tunnels.find(name)?.open("http", 1, new Uint8Array(0), silentHandler);
  let taken = 0;
  while (visit("blue") !== undefined) taken++;
  expect(taken).toBe(capacity * 0.875 + 1);
  let left = 0;
  while (visit("red") !== undefined) left++;
  expect(left).toBe(capacity - taken);
});
