import type { Target } from "../contenders/contender.ts";
import { bodies } from "../origins.ts";
import { move } from "./generators.ts";
import type { Measurement, Settings, Workload } from "./workload.ts";

export const mib = 1 << 20;
export const gib = 1 << 30;

/** What to ask for, by direction. */
export const bulkLoads = {
  down: { direction: "down", path: "/bulk", bytes: bodies["/bulk"] },
  up: { direction: "up", path: "/upload", bytes: gib },
} as const;

/** One visitor, one large body after another, as fast as they get through. */
export class Bulk implements Workload {
  readonly name: string;
  readonly about: string;
  readonly way: "web" | "sink";
  readonly workUnit = "GiB";
  readonly metrics = [{ name: "throughput", unit: "MiB/s", better: "more" }] as const;
  readonly #direction: keyof typeof bulkLoads;

  constructor(direction: keyof typeof bulkLoads) {
    this.#direction = direction;
    this.name = `bulk-${direction}`;
    this.way = direction === "down" ? "web" : "sink";
    this.about = `one visitor ${direction === "down" ? "downloads" : "uploads"} 1 GiB bodies, whole ones, one after another`;
  }

  async measure(target: Target, settings: Settings): Promise<Measurement> {
    const { bytes, seconds } = await move(target, bulkLoads[this.#direction], settings);
    return { values: { throughput: bytes / mib / seconds }, work: bytes / gib };
  }
}
