import { residentMiB } from "../blackbox/programs/memory.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { type Relay, startRelay } from "../blackbox/programs/relay.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import type { RawOrigin } from "../blackbox/raw/origin.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import { Ledger } from "./load/ledger.ts";
import { Load, type LoadShape } from "./load/load.ts";
import { startLoadOrigin } from "./load/origin.ts";
import { Pace } from "./load/pace.ts";
import { Random } from "./load/random.ts";
import { relayMetricsAtRest } from "./relay-metrics.ts";
import { Storm, type StormReport } from "./storm.ts";

export interface CutsOptions {
  readonly shape: LoadShape;
  readonly cuts: number;
  readonly cutEveryMs: number;
  /** Of the storm: which cut comes when, and where. What the processes make of it is theirs. */
  readonly seed: number;
}

/** How long the exchanges that are open at the end may take to end; far longer than they need. */
const endLimitMs = 60_000;

/** Relay and agent as processes, a proxy that cuts their links, and a load across them. */
export class Cuts {
  readonly ledger = new Ledger();
  readonly storm: Storm;
  /** Exchanges that were open at the time of each cut. */
  readonly openAtCuts: number[] = [];
  /** How often the agent told that a link was up, suspect, lost. */
  readonly links: Record<string, number> = {};
  /** What the relay said of itself at the end. */
  metrics: Record<string, number> = {};
  /** Resident MiB of relay and agent at the end, and at their highest. */
  readonly memory: Record<string, { now: number; peak: number }> = {};
  #heard = 0;
  #wasReady = false;

  private constructor(readonly options: CutsOptions) {
    this.storm = new Storm(options.seed);
  }

  /** All of it, from the start of the programs to their end. Does not judge. */
  static async run(options: CutsOptions): Promise<Cuts> {
    const cuts = new Cuts(options);
    await cuts.#run();
    return cuts;
  }

  get report(): StormReport {
    return this.storm.report;
  }

  async #run(): Promise<void> {
    const { ledger, storm, options } = this;
    const { shape, cutEveryMs } = options;
    const pace = new Pace();
    const origin = await startLoadOrigin({ ledger, pace, pieceEveryMs: shape.pieceEveryMs });
    let relay: Relay | undefined;
    let proxy: FaultProxy | undefined;
    let agent: Program | undefined;
    try {
      relay = await startRelay();
      proxy = await storm.proxy(relay.url);
      const token = await relay.token();
      // What is under way is counted by the frames in WebSockets; under `auto` links that die so often go without.
      const args = ["--transport", "ws"];
      agent = await startAgent(
        { ...relay, url: proxy.url },
        { origin: origin.port, name: "blue", token, args },
      );
      const target = { port: relay.port, host: relay.hostFor("blue") };
      const load = new Load(target, shape, ledger, pace, new Random(options.seed));
      const over = load.run();
      await storm.blow(options.cuts, cutEveryMs, (line) => this.#cut(line, agent));
      pace.hurry();
      await this.#ended(over);
      this.#hear(agent);
      this.metrics = await relayMetricsAtRest(relay);
      for (const name of ["streams_open", "held", "held_expired_total"])
        if (this.metrics[name] !== 0) ledger.problem(`relay: ${name} is ${this.metrics[name]} at the end`);
      this.memory["agent"] = await residentMiB(agent.pid);
      if (relay.pid !== undefined) this.memory["relay"] = await residentMiB(relay.pid);
    } finally {
      await stop(agent, relay, proxy, origin);
    }
  }

  async #ended(over: Promise<void>): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const limit = new Promise<"late">((resolve) => {
      timer = setTimeout(resolve, endLimitMs, "late");
    });
    if ((await Promise.race([over, limit])) === "late")
      for (const progress of this.ledger.open) this.ledger.problem(`never ended: ${progress}`);
    clearTimeout(timer);
  }

  #cut(line: string, agent: Program | undefined): void {
    this.openAtCuts.push(this.ledger.open.length);
    this.#hear(agent);
    this.ledger.note(line);
  }

  /** What the agent has told since the last time. A session that began anew is one that was lost. */
  #hear(agent: Program | undefined): void {
    for (const event of agent?.events.slice(this.#heard) ?? []) {
      this.#heard++;
      const anew = event.event === "ready" && event["resumed"] !== true && this.#wasReady;
      this.#wasReady ||= event.event === "ready";
      if (event.event !== "request") this.ledger.note(`the agent has told ${JSON.stringify(event)}`);
      if (anew || event["fatal"] === true) this.ledger.problem(`agent: ${JSON.stringify(event)}`);
      if (event.event === "link")
        this.links[String(event["state"])] = (this.links[String(event["state"])] ?? 0) + 1;
    }
  }
}

async function stop(
  agent: Program | undefined,
  relay: Relay | undefined,
  proxy: FaultProxy | undefined,
  origin: RawOrigin,
): Promise<void> {
  await agent?.kill();
  await relay?.kill();
  await proxy?.close();
  await origin.close();
}
