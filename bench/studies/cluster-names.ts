import type { NameEntry, Registry } from "../../relay/cluster/registry.ts";
import { openNats } from "../../relay/runtimes/nats.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { NatsServer, natsServerPath } from "../../tests/cluster/nats-server.ts";
import { clusterArgs, namesKnown } from "../contenders/cluster.ts";
import { Crew } from "../contenders/crew.ts";
import { type Relay, startRelay } from "../contenders/relay.ts";
import { kibOf } from "../meter.ts";
import type { Result } from "../rounds.ts";
import { nearSite } from "../site.ts";
import { summarise } from "../statistics.ts";
import type { Metric } from "../workloads/workload.ts";
import type { Study, StudyOptions } from "./study.ts";

const count = 100_000;
/** A relay grants one owner 10,000. */
const owners = 20;
const lookUps = 20_000;
/** Asked for at the same time: by as many agents that come at once. */
const atOnce = 256;
const dayMs = 86_400_000;
const knownWithinMs = 60_000;
/** Garbage of the beginning is gone, or will stay. */
const restMs = 3_000;

const metrics: readonly Metric[] = [
  { name: "claims", unit: "names/s", better: "more" },
  { name: "lookUps", unit: "look-ups/s", better: "more" },
  { name: "known", unit: "s", better: "less" },
  { name: "start", unit: "s", better: "less" },
  { name: "relay", unit: "bytes a name", better: "less" },
];

type Figures = Readonly<Record<string, number>>;

/** A registry with as many tunnels as a cluster may have. */
export const clusterNames: Study = {
  name: "cluster-names",
  about: `${count.toLocaleString("en")} tunnels in the registry: claims, look-ups, and what a relay that joins needs`,
  absent: async () => (natsServerPath === undefined ? "nats-server is not installed" : undefined),
  async run(options) {
    return { results: [await measure(options)] };
  },
};

async function measure({ rounds, signal, log }: StudyOptions): Promise<Result> {
  const all: Figures[] = [];
  for (let round = 0; round < rounds; round++) {
    signal.throwIfAborted();
    const one = await play();
    all.push(one);
    log(`cluster-names round ${round + 1}/${rounds}: ${JSON.stringify(one)}`);
  }
  const of = (name: string) => summarise(all.map((one) => one[name] ?? Number.NaN));
  return {
    workload: { name: clusterNames.name, about: clusterNames.about, metrics, workUnit: "run" },
    note: `claims and look-ups by one process, ${atOnce} at a time; known: from the start of a relay until it knows all, start: the same with an empty registry; relay: resident set beside that of the relay with the empty one`,
    rows: [
      {
        contender: "nats-server",
        metrics: Object.fromEntries(metrics.map(({ name }) => [name, of(name)])),
        ...{ costs: [], ratios: {}, faults: [] },
      },
    ],
  };
}

async function play(): Promise<Figures> {
  await using cleanup = new AsyncDisposableStack();
  const nats = await NatsServer.start();
  cleanup.defer(() => nats.close());
  const crew = await Crew.gather("names");
  cleanup.defer(() => crew.stop());
  const opened = await openNats({
    ...{ urls: nats.url, cluster: "full", clock: systemClock },
    fault: (error) => {
      throw error;
    },
  });
  cleanup.defer(() => opened.close());
  const { registry } = opened;
  const claimed = await timed(count, (i) => claim(registry, i));
  const lookedUp = await timed(lookUps, async (i) => {
    const name = nameOf((i * 7_919) % count);
    if ((await registry.lookUp(name)) === undefined) throw new Error(`${name} is not there`);
  });
  const empty = await join(crew, nats, "empty", 0);
  const full = await join(crew, nats, "full", count);
  await Bun.sleep(restMs);
  return {
    claims: count / claimed,
    lookUps: lookUps / lookedUp,
    known: full.seconds,
    start: empty.seconds,
    relay: ((kibOf(full.relay.child.pid, "VmRSS") - kibOf(empty.relay.child.pid, "VmRSS")) * 1_024) / count,
  };
}

async function join(
  crew: Crew,
  nats: NatsServer,
  cluster: string,
  names: number,
): Promise<{ readonly relay: Relay; readonly seconds: number }> {
  // Its token is made before; the relay's own start is counted.
  const startedMs = performance.now();
  const relay = await startRelay(crew, nearSite, await clusterArgs(crew, nats, cluster));
  const knownMs = await namesKnown(relay, names, knownWithinMs);
  return { relay, seconds: (knownMs - startedMs) / 1_000 };
}

const nameOf = (i: number): string => `tunnel-${i}`;

async function claim(registry: Registry, i: number): Promise<void> {
  const now = Date.now();
  const entry: NameEntry = {
    owner: `https://issuer.example owner-${i % owners}`,
    kind: "http",
    agents: [{ instance: `instance-${i}`, generation: 1, relays: ["aaaaaaaa"] }],
    ...{ generation: 1, exclusive: 1, beatAt: now, bye: false, lapsesAt: now + dayMs },
  };
  if ((await registry.claim(nameOf(i), entry)) === undefined) throw new Error(`${nameOf(i)} is taken`);
}

/** Seconds for so many, `atOnce` at a time. */
async function timed(times: number, once: (i: number) => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  const waiting = Array(times).keys();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const i of waiting) await once(i);
    }),
  );
  return (performance.now() - startedMs) / 1_000;
}
