import { describe, expect, test } from "bun:test";
import type { NodeFacts } from "../../relay/cluster/board.ts";
import {
  chosen,
  type MovableSession,
  Rebalance,
  rebalanceLimits,
  tooMany,
} from "../../relay/cluster/rebalance.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { factsOf } from "./memory-board.ts";

class FakeSession implements MovableSession {
  leaving = false;
  saidBye = false;
  toldGraceMs: number | undefined;
  isUp = true;
  isGone = false;

  constructor(
    readonly name: string,
    readonly instance: string,
    public openStreams = 0,
  ) {}

  readonly driver = (() => {
    const self = this;
    return {
      get isUp() {
        return self.isUp;
      },
      session: {
        get openStreams() {
          return self.openStreams;
        },
        get leaving() {
          return self.isGone;
        },
        get saysGoaway() {
          return self.toldGraceMs !== undefined;
        },
      },
      sayGoaway: (_kind: "drain", _code: "going-away", graceMs: number) => {
        self.toldGraceMs = graceMs;
      },
    };
  })();
}

const agents = (count: number, openStreams = 0): FakeSession[] =>
  Array.from({ length: count }, (_, n) => new FakeSession(`t${n}`, "agent", openStreams));
const others = (...sessions: number[]): NodeFacts[] =>
  sessions.map((count, n) => factsOf(`node000${n}`, { sessions: count }));

describe("too many", () => {
  test.each<[number, NodeFacts[], number]>([
    [100, [], 0],
    [100, others(100, 100), 0],
    [133, others(100, 100), 0],
    // The mean of 150, 100 and 100 is 117: 154 would do.
    [150, others(100, 100), 0],
    [170, others(100, 100), 47],
    [12, others(0, 0), 0],
    [15, others(0, 0), 10],
    [15, [factsOf("aaaaaaaa", { state: "draining" })], 0],
  ])("%d sessions beside %j", (own, facts, excess) => {
    expect(tooMany(own, facts)).toBe(excess);
  });
});

test("those without streams are told first, then those with the fewest, and one of an agent", () => {
  const all = [
    new FakeSession("a", "1", 3),
    new FakeSession("b", "1", 1),
    new FakeSession("c", "1"),
    new FakeSession("c", "1"),
    new FakeSession("c", "2"),
    new FakeSession("d", "1"),
  ];
  const names = (count: number) =>
    chosen(all, count, (agent) => agent === "d 1").map(({ name, instance }) => `${name}${instance}`);
  expect(names(2)).toEqual(["c1", "c2"]);
  expect(names(9)).toEqual(["c1", "c2", "b1", "a1"]);
});

class Rig {
  readonly clock = new VirtualClock();
  sessions: FakeSession[] = [];
  others: NodeFacts[] = others(0, 0);
  readonly nodes = { others: () => this.others, boardReachable: true };
  readonly metrics = { rebalanced: 0 };
  readonly rebalance = new Rebalance({
    clock: this.clock,
    nodes: this.nodes,
    metrics: this.metrics,
    sessions: () => this.sessions,
    graceMs: 30_000,
  });

  get told(): number {
    return this.sessions.filter(({ toldGraceMs }) => toldGraceMs !== undefined).length;
  }
}

describe("a relay with far more sessions than the others", () => {
  test("tells one in a hundred each second to go, one at least and ten at most, until it has not", () => {
    for (const [count, each] of [
      [50, 1],
      [450, 4],
      [5_000, 10],
    ] as const) {
      const rig = new Rig();
      rig.sessions = agents(count);
      rig.rebalance.begin();
      rig.clock.advance(rebalanceLimits.settledMs - 1);
      expect(rig.told).toBe(0);
      rig.clock.advance(1);
      expect(rig.told).toBe(each);
      rig.clock.advance(1_000);
      expect(rig.told).toBeWithin(2 * each - 1, 2 * each + 1);
    }
    const rig = new Rig();
    rig.sessions = agents(50);
    rig.rebalance.begin();
    rig.clock.advance(600_000);
    // 13 is not above 1.25 x 13 / 3 + 8.
    expect([rig.told, rig.metrics.rebalanced]).toEqual([37, 37]);
    expect(rig.sessions.find(({ toldGraceMs }) => toldGraceMs !== undefined)?.toldGraceMs).toBe(30_000);
  });

  test("waits until the relays have been the same for ten seconds, and while their board is out of reach", () => {
    const rig = new Rig();
    rig.sessions = agents(100);
    rig.rebalance.begin();
    for (let n = 0; n < 5; n++) {
      rig.clock.advance(9_000);
      rig.others = n % 2 === 0 ? others(0) : others(0, 0);
    }
    rig.clock.advance(9_000);
    rig.nodes.boardReachable = false;
    rig.clock.advance(60_000);
    rig.nodes.boardReachable = true;
    rig.clock.advance(9_000);
    expect(rig.told).toBe(0);
    rig.clock.advance(1_000);
    expect(rig.told).toBe(1);
  });

  test("leaves alone who is going, who has no link, and for ten seconds an agent that it has asked", () => {
    const rig = new Rig();
    const both = [new FakeSession("pool", "agent"), new FakeSession("pool", "agent")];
    const others = agents(40);
    others.forEach((session, n) => {
      if (n % 4 === 0) session.leaving = true;
      else if (n % 4 === 1) session.saidBye = true;
      else if (n % 4 === 2) session.isGone = true;
      else session.isUp = false;
    });
    // Enough that stay, but are asked last.
    rig.sessions = [...both, ...others, ...agents(30, 5)];
    rig.rebalance.begin();
    rig.clock.advance(rebalanceLimits.settledMs);
    expect(both.map(({ toldGraceMs }) => toldGraceMs !== undefined)).toEqual([true, false]);
    rig.clock.advance(9_000);
    expect(both[1]?.toldGraceMs).toBeUndefined();
    rig.clock.advance(1_000);
    expect(both[1]?.toldGraceMs).toBe(30_000);
    expect(others.some(({ toldGraceMs }) => toldGraceMs !== undefined)).toBe(false);
  });

  test("rests when as many as were too many were told to go, for they may all come back", () => {
    const rig = new Rig();
    rig.sessions = agents(60);
    rig.rebalance.begin();
    rig.clock.advance(rebalanceLimits.settledMs - 1);
    let came = 0;
    for (let second = 0; second < 50; second++) {
      rig.clock.advance(1_000);
      const gone = rig.sessions.filter(({ toldGraceMs }) => toldGraceMs !== undefined).length;
      rig.sessions = rig.sessions.filter(({ toldGraceMs }) => toldGraceMs === undefined);
      for (let n = 0; n < gone; n++) rig.sessions.push(new FakeSession(`again${came++}`, "agent"));
    }
    expect(rig.metrics.rebalanced).toBe(40);
    rig.clock.advance(rebalanceLimits.restMs);
    expect(rig.metrics.rebalanced).toBeGreaterThan(40);
  });

  test("stops with its end", () => {
    const rig = new Rig();
    rig.sessions = agents(100);
    rig.rebalance.begin();
    rig.rebalance.end();
    rig.clock.advance(60_000);
    expect([rig.told, rig.clock.timers]).toEqual([0, 0]);
  });
});
