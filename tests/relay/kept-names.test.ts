import { expect, test } from "bun:test";
import { KeptNames, type NameRecord } from "../../relay/kept-names.ts";

const ttlMs = 3_600_000;
const options = { ttlMs, maxNames: 4, random: (bytes: Uint8Array<ArrayBuffer>) => bytes };

function setUp(): { readonly names: KeptNames; readonly kept: NameRecord[] } {
  const kept: NameRecord[] = [];
  return { names: new KeptNames(options, (_, record) => kept.push(record)), kept };
}

test("each change is told once, and what changes nothing is not", () => {
  const { names, kept } = setUp();
  names.claim("blue", "alice", "http", 0);
  names.take("blue", "alice", "http", 1);
  names.take("blue", "alice", "http", 2);
  names.claim("blue", "alice", "http", 3);
  names.leave("blue", 4, { bye: true });
  names.leave("blue", 5, { bye: true });
  expect(kept).toEqual([
    { owner: "alice", kind: "http", state: "reserved", lapsesAtMs: 600_000 },
    { owner: "alice", kind: "http", state: "live" },
    { owner: "alice", kind: "http", state: "away", leftAtMs: 4, bye: true, lapsesAtMs: 4 + ttlMs },
  ]);
});

test("what was kept is taken back with the time that it had left; who is not here any more left now, which is kept", () => {
  const { names, kept } = setUp();
  const alice = { owner: "alice", kind: "http" } as const;
  names.restore("asked", { ...alice, state: "reserved", lapsesAtMs: 600_000 }, 10_000);
  names.restore("gone", { ...alice, state: "away", leftAtMs: 4, bye: true, lapsesAtMs: 4 + ttlMs }, 10_000);
  names.restore("here", { ...alice, state: "live" }, 10_000);
  names.restore("still here", { ...alice, state: "live" }, 10_000, { here: true });
  expect(kept).toEqual([
    { ...alice, state: "away", leftAtMs: 10_000, bye: false, lapsesAtMs: 10_000 + ttlMs },
  ]);
  expect(names.lookup("still here")).toEqual({ ...alice, live: true });
  expect(names.awaitedSince("asked")).toBeUndefined();
  expect(names.lookup("here")).toEqual({ ...alice, live: false, leftAtMs: 10_000, bye: false });
  expect(names.awaitedSince("here")).toBe(10_000);
  expect(names.lookup("gone")).toEqual({ ...alice, live: false, leftAtMs: 4, bye: true });
  expect(names.sweep(600_000)).toBe(1);
  expect(names.sweep(4 + ttlMs)).toBe(1);
  expect(names.sweep(10_000 + ttlMs)).toBe(1);
});
