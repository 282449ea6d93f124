import type { Target, Way } from "../contenders/contender.ts";
import { bulkLoads, gib, mib, unheld } from "./bulk.ts";
import { move, pace } from "./generators.ts";
import { type Measurement, type Settings, slowest, type Workload } from "./workload.ts";

const probeSeconds = 1;
const small = { path: "/10b", sockets: 16, perSecond: 500 };

/** Small requests first alone, then beside a download in the same tunnel. */
export class Mixed implements Workload {
  readonly name: string;
  readonly about: string;
  readonly way: Way;
  readonly workUnit = "GiB";
  readonly metrics = [
    { name: "p99", unit: "ms", better: "less" },
    { name: "p50", unit: "ms", better: "less" },
    { name: "p999", unit: "ms", better: "less" },
    { name: "idleP50", unit: "ms", better: "less" },
    { name: "idleP99", unit: "ms", better: "less" },
    { name: "timesIdle", unit: "x", better: "less" },
    { name: "bulk", unit: "MiB/s", better: "more" },
  ] as const;
  readonly #held: boolean;
  #mibPerSecond = Number.POSITIVE_INFINITY;

  /** `held`: the download takes half of the slowest contender's most, the same for all; else what it gets. */
  constructor(way: "web" | "tcp", { held }: { readonly held: boolean }) {
    this.#held = held;
    this.way = way;
    this.name = `${way === "tcp" ? "tcp-" : ""}mixed${held ? "" : "-full"}`;
    this.about = `${small.perSecond} GETs of 10 bytes a second beside one download that ${held ? "is held to half of the slowest's most" : "takes what it gets"}; idleP99: the same without it, just before`;
  }

  async prepare(field: readonly Target[], settings: Settings): Promise<string> {
    if (!this.#held) return "the download is not held";
    const most = await slowest(field, async (target) => {
      const { bytes, seconds } = await move(target, bulkLoads.down, { ...settings, seconds: probeSeconds });
      return bytes / mib / seconds;
    });
    this.#mibPerSecond = Math.round(most / 2);
    return `the download is held to ${this.#mibPerSecond} MiB/s`;
  }

  async measure(target: Target, settings: Settings): Promise<Measurement> {
    const idle = await pace(target, small, settings);
    const mibPerSecond = Math.min(this.#mibPerSecond, unheld);
    const bulk = move(
      target,
      { ...bulkLoads.down, mibPerSecond },
      { ...settings, seconds: settings.seconds + 1.5 },
    );
    const [busy, { bytes, seconds }] = await Promise.all([pace(target, small, settings), bulk]);
    return {
      values: {
        p99: busy.p99Ms,
        p50: busy.p50Ms,
        p999: busy.p999Ms,
        idleP50: idle.p50Ms,
        idleP99: idle.p99Ms,
        timesIdle: busy.p99Ms / idle.p99Ms,
        bulk: bytes / mib / seconds,
      },
      work: bytes / gib,
    };
  }
}
