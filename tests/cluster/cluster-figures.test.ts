import { expect, test } from "bun:test";
import { clusterFigures } from "../../relay/cluster/cluster-figures.ts";
import { factsOf } from "./memory-board.ts";

test("a cluster's figures say how each relay is reached, and count what is at those that are alive", () => {
  const load = { tunnels: 1, sessions: 2, hopsOut: 3 };
  const links = new Map([
    ["bbbbbbbb", { transport: "websocket", tripMs: 0.1234 }],
    ["cccccccc", { transport: "bus", tripMs: 0 }],
  ]);
  const figures = clusterFigures({
    self: factsOf("aaaaaaaa", load),
    nodes: {
      others: () => ["bbbbbbbb", "cccccccc", "dddddddd"].map((id) => factsOf(id, load)),
      dead: () => [factsOf("eeeeeeee", load)],
    },
    neighbours: { linkTo: (id) => links.get(id) },
    ...{ registryReachable: true, names: 9 },
  });
  expect(figures.nodes).toEqual([
    { ...factsOf("bbbbbbbb", load), alive: true, link: "direct", rttMs: 0.12 },
    { ...factsOf("cccccccc", load), alive: true, link: "bus" },
    { ...factsOf("dddddddd", load), alive: true, link: "none" },
    { ...factsOf("eeeeeeee", load), alive: false, link: "none" },
  ]);
  const { self, nodes, ...counts } = figures;
  expect(self.id).toBe("aaaaaaaa");
  expect(counts).toEqual({ registryReachable: true, names: 9, tunnels: 4, sessions: 8, hops: 12 });
});
