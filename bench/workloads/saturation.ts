import type { Target } from "../contenders/contender.ts";
import { bodies } from "../origins.ts";
import { saturate } from "./generators.ts";
import type { Measurement, Settings, Workload } from "./workload.ts";

const workRequests = 10_000;

/** Keep-alive requests, as many as get through. Latencies here are those of a queue that is always full. */
export class Saturation implements Workload {
  readonly way = "web";
  readonly workUnit = "10,000 requests";
  readonly metrics = [
    { name: "rate", unit: "requests/s", better: "more" },
    { name: "p50", unit: "ms", better: "less" },
    { name: "p99", unit: "ms", better: "less" },
  ] as const;

  readonly name: string;
  readonly about: string;
  readonly #load: { readonly path: keyof typeof bodies; readonly sockets: number };

  constructor(path: keyof typeof bodies, sockets: number) {
    this.#load = { path, sockets };
    this.name = `http-${path.slice(1)}-${sockets}`;
    this.about = `wrk: keep-alive GETs of ${bodies[path].toLocaleString("en")} bytes over ${sockets} socket${sockets > 1 ? "s" : ""}, as many as get through`;
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
