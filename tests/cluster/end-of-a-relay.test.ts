import { expect } from "bun:test";
import type { Program } from "../blackbox/programs/program.ts";
import { startAgents } from "./agents.ts";
import { Cluster, clusterTest } from "./cluster.ts";
import { CountedOrigins } from "./counted-origins.ts";
import { ClusterLoad } from "./load.ts";

const testLimitMs = 90_000;
const visitors = 16;
/** One link each, two at each relay; and two links each, which go to different relays. */
const ones = Array.from({ length: 6 }, (_, i) => `one-${i}`);
const twos = Array.from({ length: 6 }, (_, i) => `two-${i}`);
const names = [...ones, ...twos];

interface Rig {
  readonly cluster: Cluster;
  readonly origins: CountedOrigins;
  readonly agents: Program;
  readonly load: ClusterLoad;
}

async function withLoad(run: (rig: Rig) => Promise<void>): Promise<void> {
  await using cleanup = new AsyncDisposableStack();
  const cluster = cleanup.use(await Cluster.start({ args: ["--grace", "10s"] }));
  const origins = await CountedOrigins.listen(names);
  cleanup.defer(() => origins.close());
  const tunnels = names.map((name, i) => ({
    ...{ name, port: origins.portOf(name), links: name.startsWith("one") ? 1 : 2 },
    relay: cluster.relay(i % 3).url,
  }));
  const agents = await startAgents({ token: await cluster.token(), tunnels });
  cleanup.defer(() => agents.kill());
  await cluster.known(names.length);
  const load = new ClusterLoad({ cluster, origins, visitors });
  cleanup.defer(() => load.stop());
  await load.reached(500);
  await run({ cluster, origins, agents, load });
}

clusterTest(
  "kill -9 of a relay fails only what was under way through it, and tunnels with a session elsewhere never stop",
  () =>
    withLoad(async ({ cluster, load }) => {
      const dead = 1;
      await cluster.kill(dead);
      const diedAtMs = performance.now();
      load.open.delete(dead);
      const probes = await load.probe();
      await load.reached(load.requests + 500);
      await load.stop();
      const wrong = load.failures.filter(({ sentAtMs, entry, name }) => {
        const wasAtTheDead = name === "one-1" || name === "one-4" || name.startsWith("two");
        return sentAtMs > diedAtMs || (entry !== dead && !wasAtTheDead);
      });
      expect(wrong).toEqual([]);
      expect(load.amiss).toEqual([]);
      const slowest = (prefix: string) =>
        Math.max(...probes.filter(({ name }) => name.startsWith(prefix)).map(({ ms }) => ms));
      expect(slowest("one")).toBeLessThan(3_000);
      expect(slowest("two")).toBeLessThan(1_000);
    }),
  testLimitMs,
);

clusterTest(
  "SIGTERM of each relay in turn, each started again, loses no request and sends none twice",
  () =>
    withLoad(async ({ cluster, load }) => {
      for (const index of cluster.relays.keys()) {
        await load.leave(index);
        await cluster.stop(index);
        await load.reached(load.requests + 500);
        await cluster.begin(index);
        await cluster.acquainted();
        await cluster.known(names.length);
        load.open.add(index);
        await load.reached(load.requests + 500);
      }
      await load.stop();
      expect(load.failures).toEqual([]);
      expect(load.amiss).toEqual([]);
    }),
  testLimitMs,
);
