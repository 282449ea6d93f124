import { join } from "node:path";
import { Crew } from "../contenders/crew.ts";
import { type IdleTunnels, startBareSockets, startIdleTunnels } from "../contenders/idle-tunnels.ts";
import { startRelay } from "../contenders/relay.ts";
import { kibOf } from "../meter.ts";
import type { Result, Row } from "../rounds.ts";
import { nearSite } from "../site.ts";
import { type Summary, summarise } from "../statistics.ts";
import type { Metric } from "../workloads/workload.ts";
import { descriptorLimit } from "./descriptors.ts";
import type { Study, StudyOptions } from "./study.ts";

const counts = [1_000, 5_000, 10_000, 19_000];
/** Garbage of the dials is gone, or will stay. */
const restMs = 3_000;

const metrics: readonly Metric[] = [
  { name: "connectRate", unit: "tunnels/s", better: "more" },
  { name: "relay", unit: "KiB each", better: "less" },
  { name: "agent", unit: "KiB each", better: "less" },
];

type Figures = Readonly<Record<string, number>>;

/** Tunnels that nobody visits, beside as many bare WebSockets between two bare Bun processes. */
export const idle: readonly Study[] = counts.map((count) => ({
  name: `idle-${count}`,
  about: `${count.toLocaleString("en")} idle tunnels, one link each: memory of relay and agent, and connect rate`,
  absent: async () =>
    count <= descriptorLimit() ? undefined : `a process may open ${descriptorLimit()} files only (ulimit -n)`,
  async run(options) {
    return { results: [await measure(count, options)] };
  },
}));

async function measure(count: number, { rounds, signal, log }: StudyOptions): Promise<Result> {
  const figures: Record<string, Figures[]> = { bare: [], underpass: [] };
  for (let round = 0; round < rounds; round++) {
    for (const [name, list] of Object.entries(figures)) {
      signal.throwIfAborted();
      const one = await (name === "bare" ? bare(count) : tunnels(count));
      list.push(one);
      log(`idle-${count} round ${round + 1}/${rounds} ${name}: ${JSON.stringify(one)}`);
    }
  }
  const [yardstick = [], mine = []] = [figures["bare"], figures["underpass"]];
  const ratio = summarise(
    mine.map((one, round) => (one["connectRate"] ?? 0) / (yardstick[round]?.["connectRate"] ?? Number.NaN)),
  );
  return {
    workload: {
      name: `idle-${count}`,
      about: `${count.toLocaleString("en")} tunnels of one link that nobody visits, all in one agent process; bare: as many WebSockets between two bare Bun processes`,
      metrics,
      workUnit: "run",
    },
    note: "KiB: resident set, less what it was before the first dial",
    rows: [row("bare", yardstick, {}), row("underpass", mine, { bare: ratio })],
  };
}

function row(contender: string, list: readonly Figures[], ratios: Readonly<Record<string, Summary>>): Row {
  const of = (name: string): Summary => summarise(list.map((one) => one[name] ?? Number.NaN));
  return {
    contender,
    metrics: Object.fromEntries(metrics.map(({ name }) => [name, of(name)])),
    costs: [],
    ratios,
    faults: [],
  };
}

async function tunnels(count: number): Promise<Figures> {
  const crew = await Crew.gather("idle");
  try {
    const relay = await startRelay(crew, nearSite, []);
    return await weigh(relay.child.pid, count, (some) => startIdleTunnels(crew, relay, some));
  } finally {
    await crew.stop();
  }
}

async function bare(count: number): Promise<Figures> {
  const crew = await Crew.gather("bare");
  try {
    const program = join(import.meta.dir, "../programs/bare-sockets.ts");
    const server = crew.start([process.execPath, program, "serve"]);
    const port = await server.line((line) => Number(line));
    const url = `http://127.0.0.1:${port}`;
    return await weigh(server.pid, count, (some) => startBareSockets(crew, url, some));
  } finally {
    await crew.stop();
  }
}

/** The agent's own weight is that of a process with one tunnel. */
async function weigh(
  serverPid: number,
  count: number,
  start: (count: number) => Promise<IdleTunnels>,
): Promise<Figures> {
  const alone = await start(1);
  const aloneKib = kibOf(alone.child.pid, "VmRSS");
  await alone.child.stop();
  const beforeKib = kibOf(serverPid, "VmRSS");
  const { child, seconds } = await start(count);
  await Bun.sleep(restMs);
  return {
    connectRate: count / seconds,
    relay: (kibOf(serverPid, "VmRSS") - beforeKib) / count,
    agent: (kibOf(child.pid, "VmRSS") - aloneKib) / count,
  };
}
