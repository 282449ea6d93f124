import type { Target } from "../contenders/contender.ts";
import { bodies } from "../origins.ts";
import { move } from "./generators.ts";
import type { Measurement, Settings, Workload } from "./workload.ts";

export const mib = 1 << 20;
export const gib = 1 << 30;
/** MiB/s: a rate that nothing reaches, but which ends a transfer in time. */
export const unheld = 1_000_000;

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
  readonly #whole: boolean;

  /** `whole`: only whole bodies count; else the last one is cut off when the time is over (down only). */
  constructor(direction: keyof typeof bulkLoads, { whole } = { whole: true }) {
    this.#direction = direction;
    this.#whole = whole;
    this.name = `bulk-${direction}`;
    this.way = direction === "down" ? "web" : "sink";
    this.about = `one visitor ${direction === "down" ? "downloads" : "uploads"} 1 GiB bodies, one after another${whole ? ", whole ones" : ""}`;
  }

  async measure(target: Target, settings: Settings): Promise<Measurement> {
    const load = bulkLoads[this.#direction];
    const { bytes, seconds } = await move(
      target,
      this.#whole ? load : { ...load, mibPerSecond: unheld },
      settings,
    );
    return { values: { throughput: bytes / mib / seconds }, work: bytes / gib };
  }
}
