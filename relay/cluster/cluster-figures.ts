import type { NodeFacts } from "./board.ts";
import type { Neighbours } from "./neighbours.ts";
import type { Nodes } from "./nodes.ts";

/** What a relay knows of its cluster, for those who look after it: /_underpass/api/cluster and /metrics. */
export interface ClusterFigures {
  readonly self: NodeFacts;
  /** The others, by id; and those that died within ten minutes, as they were. */
  readonly nodes: readonly NodeFigures[];
  /** Names can be given away. */
  readonly registryReachable: boolean;
  /** That somebody has, wherever his agents are. */
  readonly names: number;
  /** Of this relay and the others that are alive. A tunnel with agents at two relays counts at both. */
  readonly tunnels: number;
  readonly sessions: number;
  /** Each hop counts at the relay that it left, and so once. */
  readonly hops: number;
}

export interface NodeFigures extends NodeFacts {
  readonly alive: boolean;
  /** How it is reached from here now. */
  readonly link: "direct" | "bus" | "none";
  /** Smoothed; absent until it was measured. */
  readonly rttMs?: number;
}

export interface FiguresOf {
  readonly self: NodeFacts;
  readonly nodes: Pick<Nodes, "others" | "dead">;
  readonly neighbours: Pick<Neighbours, "linkTo">;
  readonly registryReachable: boolean;
  readonly names: number;
}

export function clusterFigures({ self, nodes, neighbours, ...more }: FiguresOf): ClusterFigures {
  const others = nodes.others();
  const alive = others.map((facts): NodeFigures => {
    const link = neighbours.linkTo(facts.id);
    if (link === undefined) return { ...facts, alive: true, link: "none" };
    const { transport, tripMs } = link;
    const rttMs = Math.round(tripMs * 100) / 100;
    return {
      ...facts,
      ...{ alive: true, link: transport === "bus" ? "bus" : "direct" },
      ...(tripMs > 0 && { rttMs }),
    };
  });
  const dead = nodes.dead().map((facts): NodeFigures => ({ ...facts, alive: false, link: "none" }));
  const sumOf = (what: "tunnels" | "sessions" | "hopsOut"): number =>
    others.reduce((sum, facts) => sum + facts[what], self[what]);
  return {
    self,
    nodes: [...alive, ...dead],
    ...more,
    ...{ tunnels: sumOf("tunnels"), sessions: sumOf("sessions"), hops: sumOf("hopsOut") },
  };
}
