import { hops } from "../contenders/cluster.ts";
import { hold } from "../contest.ts";
import { nearSite } from "../site.ts";
import { Bulk } from "../workloads/bulk.ts";
import { Latency } from "../workloads/latency.ts";
import { Saturation } from "../workloads/saturation.ts";
import type { Workload } from "../workloads/workload.ts";
import type { Study } from "./study.ts";

/** What it costs a visitor that his agent is at another relay of the cluster. */
export const clusterHop: Study = {
  name: "cluster-hop",
  about:
    "small requests and bulk where the agent is at this relay, at a neighbour, and at one over NATS alone",
  absent: async () => hops[0]?.absent(),
  run({ contenders: _contenders, ...options }) {
    return hold({
      site: nearSite,
      contenders: hops,
      workloads: [
        byP50(new Saturation({ way: "web", path: "/10b", sockets: 1 })),
        byP50(new Latency("web", "quarter")),
        new Saturation({ way: "web", path: "/10b", sockets: 32 }),
        new Bulk("down"),
        new Bulk("up"),
      ],
      options,
    }).then(({ contenders, results }) => ({
      contenders,
      results: results.map(({ workload, ...rest }) => ({
        ...rest,
        workload: { ...workload, name: `cluster-hop-${workload.name}` },
      })),
    }));
  },
};

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
