import { clusterHop } from "./cluster-hop.ts";
import { clusterNames } from "./cluster-names.ts";
import { distance } from "./distance.ts";
import { idle } from "./idle.ts";
import { names } from "./names.ts";
import type { Study } from "./study.ts";

/** All studies, in the order in which they are run; after all workloads. */
export const studies: readonly Study[] = [...distance, ...idle, names, ...clusterHop, clusterNames];
