import type { Target, Way } from "../contenders/contender.ts";
import { bodies } from "../origins.ts";
import { saturate } from "./generators.ts";
import type { Measurement, Settings, Workload } from "./workload.ts";

const workRequests = 10_000;

export interface SaturationOptions {
  /** `tcp`: the same HTTP, through what does not know that it is HTTP. */
  readonly way: "web" | "tcp";
  readonly path: keyof typeof bodies;
  readonly sockets: number;
  /** A new connection for each request. */
  readonly once?: boolean;
}

/** Requests, as many as get through. Latencies here are those of a queue that is always full. */
export class Saturation implements Workload {
  readonly way: Way;
  readonly workUnit = "10,000 requests";
  readonly metrics = [
    { name: "rate", unit: "requests/s", better: "more" },
    { name: "p50", unit: "ms", better: "less" },
    { name: "p99", unit: "ms", better: "less" },
  ] as const;

  readonly name: string;
  readonly about: string;
  readonly #load: SaturationOptions;

  constructor(load: SaturationOptions) {
    const { way, path, sockets, once = false } = load;
    this.#load = load;
    this.way = way;
    this.name = `${way === "tcp" ? "tcp" : "http"}-${once ? "new-" : ""}${path.slice(1)}-${sockets}`;
    this.about = `wrk: ${once ? "GETs on a new connection each" : "keep-alive GETs"} of ${bodies[path].toLocaleString("en")} bytes, ${sockets} at a time, as many as get through`;
  }

  async measure(target: Target, settings: Settings): Promise<Measurement> {
    const { requests, us, bytes, p50Us, p99Us } = await saturate(target, this.#load, settings);
    if (bytes < requests * bodies[this.#load.path]) throw new Error("answers were too short");
    return {
      values: { rate: requests / (us / 1e6), p50: p50Us / 1_000, p99: p99Us / 1_000 },
      work: requests / workRequests,
    };
  }
}
