import { Bulk } from "./bulk.ts";
import { Latency } from "./latency.ts";
import { Mixed } from "./mixed.ts";
import { Saturation } from "./saturation.ts";
import type { Workload } from "./workload.ts";

/** All workloads, in the order in which they are run. */
export function catalogue(): Workload[] {
  return [
    new Saturation("/10b", 1),
    new Saturation("/10b", 32),
    new Saturation("/10b", 256),
    new Saturation("/10kb", 32),
    new Saturation("/1mb", 32),
    new Latency("quarter"),
    new Latency("half"),
    new Bulk("down"),
    new Bulk("up"),
    new Mixed({ held: true }),
    new Mixed({ held: false }),
  ];
}
