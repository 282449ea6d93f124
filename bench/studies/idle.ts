import { join } from "node:path";
import { Crew } from "../contenders/crew.ts";
import { bareSockets, idleTunnels, type StartIdle } from "../contenders/idle-tunnels.ts";
import { startRelay } from "../contenders/relay.ts";
import { kibOf } from "../meter.ts";
import type { Result, Row } from "../rounds.ts";
import { nearSite } from "../site.ts";
import { type Summary, summarise } from "../statistics.ts";
import type { Metric } from "../workloads/workload.ts";
import { descriptorLimit } from "./descriptors.ts";
import type { Study, StudyOptions } from "./study.ts";

const counts = [1_000, 5_000, 10_000, 19_000];
/** Dialled and ended before the rate is measured, so that it is not that of compiling the code. */
const firstWave = 2_000;
/** For what the first wave leaves to be done. */
const settleMs = 1_000;
/** Garbage of the dials is gone, or will stay. */
const restMs = 3_000;

const metrics: readonly Metric[] = [
  { name: "connectRate", unit: "tunnels/s", better: "more" },
  { name: "relay", unit: "KiB each", better: "less" },
  { name: "agent", unit: "KiB each", better: "less" },
];

type Figures = Readonly<Record<string, number>>;

/**
 * Tunnels that nobody visits, beside as many bare WebSockets of a bare Bun server. `bare` and `relay` are dialled by the
 * same program, 64 at a time, with Bun's own WebSocket, after a first wave that has ended: what is compared is the server.
 * A tunnel counts when WELCOME has come, which is a round trip, a token, a name that is written and a session more than an
 * upgrade. `underpass` is a relay with real agents and no first wave: what each of them weighs, and how quickly they come
 * when all are in one process, which is as busy as the relay then.
 */
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
  const contenders = {
    bare: () => withBare(count),
    relay: () => withRelay(count, "dialler"),
    underpass: () => withRelay(count, "agent"),
  };
  const figures: Record<keyof typeof contenders, Figures[]> = { bare: [], relay: [], underpass: [] };
  const names = Object.keys(contenders) as (keyof typeof contenders)[];
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      signal.throwIfAborted();
      const one = await contenders[name]();
      figures[name].push(one);
      log(`idle-${count} round ${round + 1}/${rounds} ${name}: ${JSON.stringify(one)}`);
    }
  }
  return {
    workload: {
      name: `idle-${count}`,
      about: `${count.toLocaleString("en")} tunnels of one link that nobody visits. bare: as many WebSockets of a bare Bun server; relay: dialled by the same program as those; underpass: by real agents, all in one process`,
      metrics,
      workUnit: "run",
    },
    note: "connectRate of bare and relay: after a first wave of 2,000; KiB: resident set, less what it was after the first dial",
    rows: names.map((name) =>
      row(name, figures[name], name === "bare" ? {} : ratios(figures[name], figures.bare)),
    ),
  };
}

function ratios(mine: readonly Figures[], yardstick: readonly Figures[]): Readonly<Record<string, Summary>> {
  const rate = (one: Figures | undefined): number => one?.["connectRate"] ?? Number.NaN;
  return { bare: summarise(mine.map((one, round) => rate(one) / rate(yardstick[round]))) };
}

function row(contender: string, list: readonly Figures[], ratios: Readonly<Record<string, Summary>>): Row {
  const known = metrics.filter(({ name }) => list.some((one) => name in one));
  const of = (name: string): Summary => summarise(list.map((one) => one[name] ?? Number.NaN));
  return {
    contender,
    metrics: Object.fromEntries(known.map(({ name }) => [name, of(name)])),
    costs: [],
    ratios,
    faults: [],
  };
}

async function withRelay(count: number, by: "agent" | "dialler"): Promise<Figures> {
  const crew = await Crew.gather("idle");
  try {
    const relay = await startRelay(crew, nearSite, []);
    const start = idleTunnels(crew, relay, { by });
    return by === "dialler" ? await timed(count, start) : await weighed(relay.child.pid, count, start);
  } finally {
    await crew.stop();
  }
}

async function withBare(count: number): Promise<Figures> {
  const crew = await Crew.gather("bare");
  try {
    const program = join(import.meta.dir, "../programs/idle-links.ts");
    const server = crew.start([process.execPath, program, "serve"]);
    const port = await server.line((line) => Number(line));
    return await timed(count, bareSockets(crew, `http://127.0.0.1:${port}`));
  } finally {
    await crew.stop();
  }
}

async function timed(count: number, start: StartIdle): Promise<Figures> {
  await (await start(firstWave)).child.stop();
  await Bun.sleep(settleMs);
  const { seconds } = await start(count);
  return { connectRate: count / seconds };
}

/** What a process with one tunnel weighs is not the tunnels'. */
async function weighed(relayPid: number, count: number, start: StartIdle): Promise<Figures> {
  const alone = await start(1);
  const aloneKib = kibOf(alone.child.pid, "VmRSS");
  await alone.child.stop();
  const beforeKib = kibOf(relayPid, "VmRSS");
  const { child, seconds } = await start(count);
  await Bun.sleep(restMs);
  return {
    connectRate: count / seconds,
    relay: (kibOf(relayPid, "VmRSS") - beforeKib) / count,
    agent: (kibOf(child.pid, "VmRSS") - aloneKib) / count,
  };
}
