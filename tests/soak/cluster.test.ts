import { afterAll, expect } from "bun:test";
import { residentMiB } from "../blackbox/programs/memory.ts";
import { startAgents } from "../cluster/agents.ts";
import { Cluster, clusterTest } from "../cluster/cluster.ts";
import { CountedOrigins } from "../cluster/counted-origins.ts";
import { ClusterLoad } from "../cluster/load.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 900_000;
const tunnelCount = 200;
const requests = 50_000;
const visitors = 32;
const awayMs = 30_000;
/** Half of them with one link, so with agents at one relay only; half with two, which go to different relays. */
const names = Array.from({ length: tunnelCount }, (_, i) => `${i % 2 === 0 ? "one" : "two"}-${i}`);

const figures = new Figures();
afterAll(() => figures.print());

interface Rig {
  readonly cluster: Cluster;
  readonly load: ClusterLoad;
}

async function withLoad(run: (rig: Rig) => Promise<void>): Promise<void> {
  await using cleanup = new AsyncDisposableStack();
  const cluster = cleanup.use(await Cluster.start({ args: ["--grace", "10s"] }));
  const origins = await CountedOrigins.listen(names);
  cleanup.defer(() => origins.close());
  const tunnels = names.map((name, i) => ({
    ...{ name, port: origins.portOf(name), links: i % 2 === 0 ? 1 : 2 },
    relay: cluster.relay((i >> 1) % 3).url,
  }));
  const agents = await startAgents({ token: await cluster.token(), tunnels });
  cleanup.defer(() => agents.kill());
  await cluster.known(tunnelCount);
  const load = new ClusterLoad({ cluster, origins, visitors });
  cleanup.defer(() => load.stop());
  await load.reached(2_000);
  await run({ cluster, load });
}

/** Prints the figures; returns what part of the requests made a hop, where no relay was started again. */
async function note(title: string, { cluster, load }: Rig): Promise<number> {
  const sorted = load.latenciesMs.toSorted((a, b) => a - b);
  const quantile = (part: number) =>
    Math.round((sorted[Math.floor((sorted.length - 1) * part)] ?? 0) * 10) / 10;
  const statuses = await Promise.all(cluster.running.map((relay) => relay.status()));
  // Each by its own count: what it has told the others of it may be a second old.
  const hops = statuses.reduce((sum, { self }) => sum + self.hopsOut, 0);
  const rss = await Promise.all(cluster.running.map(({ pid }) => residentMiB(pid)));
  figures.note(title, {
    requests: load.requests,
    failed: load.failures.length,
    hops,
    latencyMs: { p50: quantile(0.5), p99: quantile(0.99), max: quantile(1) },
    residentMiB: rss,
  });
  return hops / load.requests;
}

async function begin({ cluster, load }: Rig, index: number): Promise<void> {
  await cluster.begin(index);
  await cluster.acquainted();
  await cluster.known(tunnelCount);
  load.open.add(index);
}

clusterTest(
  "SIGTERM of each relay in turn fails none of 50,000 requests, and none is seen twice",
  () =>
    withLoad(async (rig) => {
      const { cluster, load } = rig;
      for (const index of cluster.relays.keys()) {
        await load.reached((requests * (index + 1)) / 4);
        await load.leave(index);
        await cluster.stop(index);
        await begin(rig, index);
      }
      await load.reached(requests);
      await load.stop();
      await note("SIGTERM of each in turn", rig);
      expect(load.failures).toEqual([]);
      expect(load.amiss).toEqual([]);
    }),
  testLimitMs,
);

clusterTest(
  "kill -9 of each in turn fails only what was under way through it, and every tunnel answers within 3 s",
  () =>
    withLoad(async (rig) => {
      const { cluster, load } = rig;
      let known = 0;
      for (const index of cluster.relays.keys()) {
        await load.reached(load.requests + 3_000);
        await cluster.kill(index);
        const diedAtMs = performance.now();
        load.open.delete(index);
        const probes = await load.probe();
        await load.reached(load.requests + 3_000);
        const failures = load.failures.slice(known);
        known = load.failures.length;
        expect(failures.filter(({ sentAtMs }) => sentAtMs > diedAtMs)).toEqual([]);
        const slowest = (prefix: string) =>
          Math.round(Math.max(...probes.filter(({ name }) => name.startsWith(prefix)).map(({ ms }) => ms)));
        figures.note(`kill -9 of relay ${index}`, {
          failed: failures.length,
          slowestMs: { oneLink: slowest("one"), twoLinks: slowest("two") },
        });
        expect(slowest("one")).toBeLessThan(3_000);
        expect(slowest("two")).toBeLessThan(3_000);
        await begin(rig, index);
      }
      await load.stop();
      await note("kill -9 of each in turn", rig);
      expect(load.amiss).toEqual([]);
    }),
  testLimitMs,
);

clusterTest(
  "NATS is away for 30 s, and nothing is lost",
  () =>
    withLoad(async (rig) => {
      const { cluster, load } = rig;
      await cluster.nats.stop();
      const untilMs = performance.now() + awayMs;
      // The load is what passes the time.
      while (performance.now() < untilMs) await load.reached(load.requests + 100);
      await cluster.nats.start();
      await cluster.acquainted();
      await cluster.known(tunnelCount);
      await load.reached(load.requests + 3_000);
      await load.stop();
      const wrong = await note("NATS away for 30 s", rig);
      // About half of the requests came to a relay that had not the agent.
      expect(wrong).toBeGreaterThan(0.4);
      expect(load.failures).toEqual([]);
      expect(load.amiss).toEqual([]);
    }),
  testLimitMs,
);
