import { expect } from "bun:test";
import { Ongoing } from "../blackbox/ongoing.ts";
import { agentProgram } from "../blackbox/programs/agent.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { visit } from "../blackbox/raw/visitor.ts";
import { startAgents } from "./agents.ts";
import { Cluster, type ClusterRelay, clusterTest } from "./cluster.ts";
import { startWebEcho } from "./echo-origin.ts";

const testLimitMs = 90_000;
/** Longer than it takes until a relay that is not heard of counts as dead. */
const outageMs = 5_000;
const names = Array.from({ length: 6 }, (_, i) => `blue-${i}`);

class Rig implements AsyncDisposable {
  readonly #cleanup = new AsyncDisposableStack();

  private constructor(
    readonly cluster: Cluster,
    readonly origin: RawOrigin,
  ) {}

  /** Six tunnels at three relays, with one link or two. */
  static async start(): Promise<Rig> {
    const rig = new Rig(await Cluster.start({ cuttable: true }), await RawOrigin.listen());
    const { cluster, origin } = rig;
    rig.#cleanup.use(cluster);
    rig.#cleanup.defer(() => origin.close());
    const tunnels = names.map((name, i) => ({
      ...{ name, port: origin.port, links: i < 3 ? 1 : 2 },
      relay: cluster.relay(i % 3).url,
    }));
    const agents = await startAgents({ token: await cluster.token(), tunnels });
    rig.#cleanup.defer(() => agents.kill());
    await cluster.known(names.length);
    return rig;
  }

  async agent(name: string, index: number, origin = this.origin.port, sub = "tester"): Promise<Program> {
    const relay = this.cluster.relay(index).url;
    const args = ["http", String(origin), "--name", name, "--relay", relay, "--links", "1", "--json"];
    const program = agentProgram(args, { env: { UNDERPASS_TOKEN: await this.cluster.token({ sub }) } });
    this.#cleanup.defer(() => program.kill());
    return program;
  }

  /** A name is asked for: status and code of the answer. */
  async claim(name: string, index: number, sub = "tester"): Promise<readonly [number, string | null]> {
    const answer = await fetch(`${this.cluster.relay(index).url}/_underpass/names`, {
      method: "POST",
      headers: { authorization: `Bearer ${await this.cluster.token({ sub })}` },
      body: JSON.stringify({ kind: "http", name }),
    });
    await answer.text();
    return [answer.status, answer.headers.get("underpass-error")];
  }

  /** Every tunnel answers at each relay. */
  async allAnswer(): Promise<void> {
    for (const name of names)
      for (const entry of this.cluster.relays.keys()) {
        const { status, text } = await visit(this.cluster.target(name, entry));
        expect([name, entry, status, text]).toEqual([name, entry, 200, "ok"]);
      }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cleanup.disposeAsync();
  }
}

/** What a relay said of it, once it has said the last of it: each thing once. */
async function expectOutageTold({ running }: ClusterRelay): Promise<void> {
  const told = (): string[] =>
    running.stderr.split("\n").flatMap((line) => /^\S+ ((?:fault|recovered) .*)$/.exec(line)?.[1] ?? []);
  await running.output(() => told().at(-1)?.startsWith("recovered") === true);
  expect(told()).toEqual([
    expect.stringMatching(/^fault "The cluster: NATS at 127\.0\.0\.1:\d+ can't be reached: /),
    'recovered "The cluster: NATS can be reached again."',
  ]);
}

function expectWhole({ sent, received, outOfTurn }: Awaited<ReturnType<Ongoing["finish"]>>): void {
  expect(received).toEqual(sent);
  expect(outOfTurn).toEqual([]);
}

for (const how of ["stopped", "silent"] as const)
  clusterTest(
    `while NATS is ${how} streams and known tunnels go on, new claims are refused for what it is; then all is well`,
    async () => {
      await using rig = await Rig.start();
      const { cluster, origin } = rig;
      const { nats } = cluster;
      using near = await Ongoing.start(cluster.target("blue-0", 0), origin);
      using far = await Ongoing.start(cluster.target("blue-1", 0), origin);
      await Promise.all([near.moved(), far.moved()]);
      if (how === "stopped") await nats.stop();
      else await nats.pause();
      const untilMs = performance.now() + outageMs;
      expect(await rig.claim("late", 0)).toEqual([503, "registry-unreachable"]);
      const late = await rig.agent("late", 1);
      expect(await late.event("error")).toMatchObject({ code: "registry-unreachable", fatal: false });
      while (performance.now() < untilMs) {
        await Promise.all([near.moved(), far.moved()]);
        await rig.allAnswer();
      }
      if (how === "stopped") await nats.start();
      else nats.resume();
      await late.event("ready");
      await cluster.known(names.length + 1);
      for (const entry of cluster.relays.keys())
        expect((await visit(cluster.target("late", entry))).text).toBe("ok");
      await rig.allAnswer();
      for (const relay of cluster.relays) await expectOutageTold(relay);
      expectWhole(await near.finish());
      expectWhole(await far.finish());
    },
    testLimitMs,
  );

clusterTest(
  "NATS that comes back empty is told again whose the names are, and nobody else can take one",
  async () => {
    await using rig = await Rig.start();
    const { cluster, origin } = rig;
    using far = await Ongoing.start(cluster.target("blue-1", 0), origin);
    await far.moved();
    await cluster.nats.stop({ signal: "SIGKILL", emptied: true });
    await cluster.nats.start();
    await cluster.acquainted();
    await cluster.known(names.length);
    for (const [i, name] of names.entries())
      expect(await rig.claim(name, i % 3, "thief")).toEqual([409, "name-taken"]);
    const thief = await rig.agent("blue-0", 1, origin.port, "thief");
    expect(await thief.exit()).toBe(4);
    await rig.allAnswer();
    await rig.agent("green", 2);
    await cluster.known(names.length + 1);
    expectWhole(await far.finish());
  },
  testLimitMs,
);

clusterTest(
  "a relay that is cut off from NATS alone goes on, and has lost by its return what a newer agent took elsewhere",
  async () => {
    await using rig = await Rig.start();
    const { cluster } = rig;
    await using cleanup = new AsyncDisposableStack();
    const [older, newer] = await Promise.all([startWebEcho("older"), startWebEcho("newer")]);
    cleanup.defer(() => older.close());
    cleanup.defer(() => newer.close());
    const first = await rig.agent("green", 0, older.port);
    await first.event("ready");
    await cluster.known(names.length + 1);
    const way = cluster.relay(0).registryWay;
    if (way === undefined) throw new Error("there is no way to cut");
    way.arrivals = "refused";
    way.fault("reset");
    const untilMs = performance.now() + outageMs;
    // What it knows goes on, both ways.
    while (performance.now() < untilMs) await rig.allAnswer();
    expect(await rig.claim("new", 0)).toEqual([503, "registry-unreachable"]);
    expect(await rig.claim("new", 1)).toEqual([201, null]);
    expect((await visit(cluster.target("green", 0))).text).toBe("older ");

    const second = await rig.agent("green", 1, newer.port);
    await second.event("ready");
    for (const entry of [1, 2]) expect((await visit(cluster.target("green", entry))).text).toBe("newer ");

    way.arrivals = "through";
    expect(await first.exit()).toBe(6);
    expect(first.events.at(-1)).toMatchObject({ event: "error", code: "superseded", fatal: true });
    const before = older.exchanges.length;
    for (let round = 0; round < 10; round++)
      for (const entry of cluster.relays.keys())
        expect((await visit(cluster.target("green", entry))).text).toBe("newer ");
    expect(older.exchanges.length).toBe(before);
    expect(second.events.filter(({ event }) => event === "error")).toEqual([]);
    await rig.allAnswer();
  },
  testLimitMs,
);
