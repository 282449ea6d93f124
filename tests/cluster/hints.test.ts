import { expect, test } from "bun:test";
import type { NodeFacts } from "../../relay/cluster/board.ts";
import { hints } from "../../relay/cluster/hints.ts";
import { factsOf } from "./memory-board.ts";

/** The same numbers each time (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const relay = (n: number, more: Partial<NodeFacts> = {}): NodeFacts =>
  factsOf(`node${String(n).padStart(4, "0")}`, { url: `http://10.0.0.${n}`, ...more });

test("the others that are ready and advertise an address are hinted at, eight at most, none twice", () => {
  const all = [relay(1), relay(2, { state: "draining" }), factsOf("nourl000"), relay(3)];
  expect(hints(all, seeded(1)).sort()).toEqual(["http://10.0.0.1", "http://10.0.0.3"]);
  expect(hints([], seeded(1))).toEqual([]);
  const many = Array.from({ length: 40 }, (_, n) => relay(n));
  expect(new Set(hints(many, seeded(2))).size).toBe(8);
  expect(hints([relay(1), relay(9, { url: "http://10.0.0.1" })], seeded(1))).toEqual(["http://10.0.0.1"]);
});

test("the less loaded are hinted at first, but not one to everybody", () => {
  const random = seeded(3);
  const all = Array.from({ length: 10 }, (_, n) => relay(n, { sessions: 100 * n }));
  const first = new Map<string, number>();
  for (let asked = 0; asked < 1_000; asked++) {
    const [url = ""] = hints(all, random);
    first.set(url, (first.get(url) ?? 0) + 1);
  }
  const share = all.map(({ url = "" }) => (first.get(url) ?? 0) / 1_000);
  // Of two at random the least loaded of ten is the less loaded one in 19 of 100 cases, the most loaded in 1.
  expect(share[0]).toBeWithin(0.15, 0.23);
  expect(share[9]).toBeLessThan(0.03);
});
