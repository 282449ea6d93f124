import { hops } from "../contenders/cluster.ts";
import { hold } from "../contest.ts";
import { nearSite } from "../site.ts";
import { Bulk } from "../workloads/bulk.ts";
import { Latency } from "../workloads/latency.ts";
import { Saturation } from "../workloads/saturation.ts";
import type { Workload } from "../workloads/workload.ts";
import type { Study } from "./study.ts";

interface Part {
  readonly name: string;
  readonly about: string;
  workloads(): readonly Workload[];
}

const parts: readonly Part[] = [
  {
    name: "requests",
    about: "small requests, one at a time and as many as get through,",
    workloads: () => [1, 32].map((sockets) => new Saturation({ way: "web", path: "/10b", sockets })),
  },
  {
    name: "latency",
    about: "small requests at a rate that all can hold,",
    workloads: () => [new Latency("web", "quarter")],
  },
  {
    name: "bulk",
    about: "large bodies down and up",
    workloads: () => [new Bulk("down", { whole: false }), new Bulk("up")],
  },
];

/** What it costs a visitor that his agent is at another relay of the cluster. */
export const clusterHop: readonly Study[] = parts.map(({ name, about, workloads }) => ({
  name: `cluster-hop-${name}`,
  about: `${about} where the agent is at this relay, at a neighbour, and at one over NATS alone`,
  absent: async () => hops[0]?.absent(),
  async run({ contenders: _contenders, ...options }) {
    const contest = { site: nearSite, contenders: hops, workloads: workloads().map(byP50), options };
    const { contenders, results } = await hold(contest);
    return {
      contenders,
      results: results.map(({ workload, ...rest }) => ({
        ...rest,
        workload: { ...workload, name: `cluster-hop-${workload.name}` },
      })),
    };
  },
}));

/** Ratios are made of the first metric. */
function byP50(workload: Workload): Workload {
  const { name, about, way, workUnit, metrics } = workload;
  return {
    ...{ name, about, way, workUnit },
    metrics: metrics.toSorted((one, other) => Number(other.name === "p50") - Number(one.name === "p50")),
    prepare: async (field, settings) => (await workload.prepare?.(field, settings)) ?? "",
    measure: (target, settings) => workload.measure(target, settings),
  };
}
