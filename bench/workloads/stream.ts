import { Child } from "../child.ts";
import type { Target } from "../contenders/contender.ts";
import { gib, mib } from "./bulk.ts";
import type { Measurement, Settings, Workload } from "./workload.ts";

export type StreamDirection = "down" | "up" | "both";

const busyWords = "the server is busy";
const busyPollMs = 250;
const busyPolls = 80;
const switches = { down: ["--reverse"], up: [], both: ["--bidir"] } as const;

/** iperf3 through a TCP tunnel: bytes that nobody looks at. */
export class Stream implements Workload {
  readonly name: string;
  readonly about: string;
  readonly way = "stream";
  readonly workUnit = "GiB";
  readonly metrics = [{ name: "throughput", unit: "MiB/s", better: "more" }] as const;
  readonly #direction: StreamDirection;
  readonly #streams: number;

  constructor(direction: StreamDirection, streams: number) {
    this.#direction = direction;
    this.#streams = streams;
    this.name = `stream-${direction}-${streams}`;
    this.about = `iperf3: ${streams} TCP stream${streams > 1 ? "s" : ""} ${direction === "both" ? "each way at once; both ways added" : `${direction}, seen from the visitor`}`;
  }

  async measure(target: Target, settings: Settings): Promise<Measurement> {
    const { bytes, seconds } = received(await this.#visit(target, settings, busyPolls));
    return { values: { throughput: bytes / mib / seconds }, work: bytes / gib };
  }

  /** iperf3 serves one at a time, and learns of a visitor's end when what is still in the tunnel has come out. */
  async #visit(target: Target, settings: Settings, polls: number): Promise<string> {
    const { seconds, generatorCore } = settings;
    const visitor = new Child({
      command: [
        ...["iperf3", "--client", target.host, "--port", String(target.port), "--json"],
        ...["--time", String(Math.max(1, Math.round(seconds))), "--parallel", String(this.#streams)],
        ...switches[this.#direction],
      ],
      core: generatorCore,
    });
    const { code, text } = await visitor.ended();
    if (code === 0) return text;
    if (polls === 0 || !text.includes(busyWords)) return text;
    await Bun.sleep(busyPollMs);
    return this.#visit(target, settings, polls - 1);
  }
}

/** What arrived, both ways together. What was sent is no measure: buffers on the way hold much of it. */
export function received(json: string): { readonly bytes: number; readonly seconds: number } {
  const { end, error } = JSON.parse(json) as {
    readonly error?: string;
    readonly end?: Readonly<Record<string, { readonly bytes: number; readonly seconds: number }>>;
  };
  if (error !== undefined) throw new Error(`iperf3: ${error}`);
  const sums = [end?.["sum_received"], end?.["sum_received_bidir_reverse"]].filter(
    (sum) => sum !== undefined,
  );
  const bytes = sums.reduce((all, sum) => all + sum.bytes, 0);
  if (bytes === 0) throw new Error("iperf3: nothing arrived");
  return { bytes, seconds: Math.max(...sums.map((sum) => sum.seconds)) };
}
