import { expect, test } from "bun:test";
import fc from "fast-check";
import { nodeLimits } from "../../relay/cluster/nodes.ts";
import type { BoardWay } from "./memory-board.ts";
import { NodesRig } from "./nodes-rig.ts";

test("whatever happens, nobody dies who was heard or linked, and who is silent does in time", async () => {
  const ids = ["aaaaaaaa", "bbbbbbbb", "cccccccc"];
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ what: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 60 }) }),
    },
    fc.record({
      what: fc.constantFrom(
        "beat" as const,
        "fall" as const,
        "link" as const,
        "cut" as const,
        "remove" as const,
        "miss" as const,
      ),
      id: fc.constantFrom(...ids),
    }),
    fc.record({ what: fc.constantFrom("break" as const, "stand" as const, "mend" as const) }),
    fc.record({ what: fc.constant("stop" as const), ms: fc.integer({ min: 1, max: 9_000 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60, size: "max" }), async (steps) => {
      const rig = new NodesRig();
      const alive = new Set<string>();
      const removed = new Set<string>();
      const missed = new Set<string>();
      const heardMs = new Map<string, number>();
      let open = true;
      /** When silence began anew for sure, and when the board began to stand still. */
      let anewMs = rig.clock.now();
      let stillMs = Number.POSITIVE_INFINITY;
      const surelyMissedMs = nodeLimits.signsMs + nodeLimits.beatMs;
      rig.nodes.onAlive = ({ id }) => {
        expect(alive.has(id)).toBe(false);
        alive.add(id);
        removed.delete(id);
      };
      rig.nodes.onDead = (id) => {
        expect(alive.delete(id)).toBe(true);
        expect(rig.linked.has(id)).toBe(false);
        if (removed.has(id)) return;
        const silentMs = rig.clock.now() - (heardMs.get(id) ?? 0);
        const leastMs = missed.has(id) ? nodeLimits.overdueMs : nodeLimits.deadMs;
        expect(silentMs).toBeGreaterThanOrEqual(leastMs);
        expect(rig.clock.now() - anewMs).toBeGreaterThanOrEqual(leastMs);
        if (!open) expect(rig.clock.now() - stillMs).toBeLessThanOrEqual(nodeLimits.signsMs);
      };
      rig.way.tell = ((tell) => (what: Parameters<BoardWay["tell"]>[0]) => {
        tell.call(rig.way, (watcher) =>
          what({
            ...{ removed: (id) => watcher.removed(id), reachable: (is) => watcher.reachable(is) },
            put: (facts) => {
              heardMs.set(facts.id, rig.clock.now());
              missed.delete(facts.id);
              watcher.put(facts);
            },
          }),
        );
      })(rig.way.tell);
      rig.nodes.begin();
      for (const one of steps) {
        if (one.what === "pass") await rig.pass(one.ms * 100);
        else if (one.what === "beat") rig.beating.add(one.id);
        else if (one.what === "fall") rig.beating.delete(one.id);
        else if (one.what === "link") rig.linked.add(one.id);
        else if (one.what === "cut") rig.linked.delete(one.id);
        else if (one.what === "miss") {
          if (alive.has(one.id)) missed.add(one.id);
          rig.nodes.missed(one.id);
        } else if (one.what === "remove") {
          rig.beating.delete(one.id);
          if (alive.has(one.id) && open) removed.add(one.id);
          rig.board.remove(one.id);
        } else if (one.what === "stop") {
          rig.clock.advance(one.ms);
          await rig.settle();
          if (one.ms >= surelyMissedMs) anewMs = rig.clock.now();
        } else {
          const wasBroken = open === false && stillMs === Number.POSITIVE_INFINITY;
          const nowMs = rig.clock.now();
          open = one.what === "mend";
          if (wasBroken || nowMs - stillMs >= surelyMissedMs) anewMs = nowMs;
          if (one.what === "break") {
            stillMs = Number.POSITIVE_INFINITY;
            rig.way.break();
          } else if (one.what === "stand" && !wasBroken) {
            stillMs = Math.min(stillMs, nowMs);
            rig.way.stand();
          } else if (one.what === "mend") {
            stillMs = Number.POSITIVE_INFINITY;
            rig.way.mend();
          }
        }
        expect(rig.nodes.others().map(({ id }) => id)).toEqual([...alive].sort());
        for (const id of ids) if (alive.has(id)) expect(rig.nodes.isAlive(id)).toBe(true);
      }
      open = true;
      rig.way.mend();
      await rig.pass(3_000 + nodeLimits.putWithinMs);
      for (const id of rig.beating) expect(alive.has(id)).toBe(true);
      rig.beating.clear();
      rig.linked.clear();
      await rig.pass(nodeLimits.deadMs + nodeLimits.lookAgainMs);
      expect([rig.alive, alive.size]).toEqual(["", 0]);
    }),
    { numRuns: 300 },
  );
});
