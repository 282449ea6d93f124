import { underpassAmong } from "../contenders/underpass.ts";
import { hold } from "../contest.ts";
import { nearSite } from "../site.ts";
import { Saturation } from "../workloads/saturation.ts";
import { descriptorLimit } from "./descriptors.ts";
import type { Study } from "./study.ts";

const counts = [10, 1_000, 10_000];

/** What a request costs while more and more names are known. */
export const names: Study = {
  name: "names",
  about: `keep-alive requests to one tunnel while ${counts.join(", ")} others are idle`,
  absent: async () => undefined,
  run({ contenders: _contenders, ...options }) {
    const possible = counts.filter((count) => count <= descriptorLimit());
    return hold({
      site: nearSite,
      contenders: possible.map(underpassAmong),
      workloads: [new Saturation({ way: "web", path: "/10b", sockets: 32 })],
      options,
    }).then(({ contenders, results }) => ({
      contenders,
      results: results.map(({ workload, ...rest }) => ({
        ...rest,
        workload: { ...workload, name: `names-${workload.name}` },
      })),
    }));
  },
};
