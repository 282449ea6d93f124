import type { Target, Way } from "../contenders/contender.ts";
import { pace, paceByOha, saturate } from "./generators.ts";
import { type Measurement, type Settings, slowest, type Workload } from "./workload.ts";

const path = "/10b";
const sockets = 64;
const probe = { path, sockets: 32 };
const probeSeconds = 2;
const workRequests = 10_000;

/**
 * What a visitor waits at a rate that all contenders can hold: a share of what the slowest reaches. At half, a machine
 * of two cores is already busy (single requests cost more than those that share a wake-up); a quarter is calm.
 */
export class Latency implements Workload {
  readonly name: string;
  readonly about =
    `GETs of 10 bytes at a fixed rate over ${sockets} sockets; latency from the moment a request was due`;
  readonly way: Way;
  readonly workUnit = "10,000 requests";
  readonly metrics = [
    { name: "p99", unit: "ms", better: "less" },
    { name: "p50", unit: "ms", better: "less" },
    { name: "p999", unit: "ms", better: "less" },
    { name: "lag", unit: "ms", better: "less" },
  ] as const;
  readonly #share: "half" | "quarter";
  #perSecond = 0;

  constructor(way: "web" | "tcp", share: "half" | "quarter") {
    this.#share = share;
    this.way = way;
    this.name = `${way === "tcp" ? "tcp-" : ""}latency-${share}`;
  }

  async prepare(field: readonly Target[], settings: Settings): Promise<string> {
    const most = await slowest(field, async (target) => {
      const { requests, us } = await saturate(target, probe, { ...settings, seconds: probeSeconds });
      return requests / (us / 1e6);
    });
    this.#perSecond = Math.max(1, Math.round(most / (this.#share === "half" ? 2 : 4)));
    return `${this.#perSecond} requests/s, ${this.#share} of the slowest's most; by oha where it is installed, else by a program of ours; lag: how late that was itself (p99)`;
  }

  async measure(target: Target, settings: Settings): Promise<Measurement> {
    const load = { path, sockets, perSecond: this.#perSecond };
    const result = (await paceByOha(target, load, settings)) ?? (await pace(target, load, settings));
    return {
      values: {
        p99: result.p99Ms,
        p50: result.p50Ms,
        p999: result.p999Ms,
        lag: result.lagMs,
      },
      work: result.answered / workRequests,
    };
  }
}
