import type { Study } from "./study.ts";

/** All studies, in the order in which they are run; after all workloads. */
export const studies: readonly Study[] = [];
