import type { Target, Way } from "../contenders/contender.ts";
import { greet } from "./generators.ts";
import type { Measurement, Settings, Workload } from "./workload.ts";

const workVisitors = 10_000;

/** What a visitor waits who has never been here: connect, ask, first byte. */
export class FirstByte implements Workload {
  readonly name: string;
  readonly about = "new visitors one after another: from dialling to the first byte of 10";
  readonly way: Way;
  readonly workUnit = "10,000 visitors";
  readonly metrics = [
    { name: "p50", unit: "ms", better: "less" },
    { name: "p99", unit: "ms", better: "less" },
    { name: "roundTrips", unit: "of the link (p50)", better: "less" },
  ] as const;
  readonly #roundTripMs: number;

  /** `roundTripMs`: of the link between the public side and the private one; 0: none to speak of. */
  constructor(way: "web" | "tcp", roundTripMs: number) {
    this.way = way;
    this.name = `${way === "tcp" ? "tcp-" : ""}first-byte`;
    this.#roundTripMs = roundTripMs;
  }

  async measure(target: Target, settings: Settings): Promise<Measurement> {
    const { visitors, p50Ms, p99Ms } = await greet(target, { path: "/10b" }, settings);
    return {
      values: { p50: p50Ms, p99: p99Ms, roundTrips: p50Ms / this.#roundTripMs },
      work: visitors / workVisitors,
    };
  }
}
