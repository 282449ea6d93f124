import { afterEach, expect } from "bun:test";
import { Ongoing } from "../blackbox/ongoing.ts";
import { agentProgram } from "../blackbox/programs/agent.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { visit } from "../blackbox/raw/visitor.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { Cluster, clusterTest } from "./cluster.ts";
import { startWebEcho } from "./echo-origin.ts";

const testLimitMs = 60_000;
const programs: Program[] = [];
afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.kill()));
});

async function agent(cluster: Cluster, relay: string, port: number, ...args: string[]): Promise<Program> {
  const given = ["http", String(port), "--name", "blue", "--relay", relay, ...args, "--json"];
  const program = agentProgram(given, { env: { UNDERPASS_TOKEN: await cluster.token() } });
  programs.push(program);
  await program.event("ready");
  return program;
}

for (const neighbours of ["direct", "bus"] as const)
  clusterTest(
    `a link that is dialled to another relay is passed on to the one that has its session (${neighbours})`,
    async () => {
      await using cluster = await Cluster.start({ neighbours });
      await using first = await FaultProxy.listen(cluster.relay(0).url);
      const origin = await RawOrigin.listen();
      await using cleanup = new AsyncDisposableStack();
      cleanup.defer(() => origin.close());
      const second = cluster.relay(1).url;
      const program = await agent(cluster, first.url, origin.port, "--relay", second, "--links", "1");
      await cluster.known(1);
      using near = await Ongoing.start(cluster.target("blue", 0), origin);
      using far = await Ongoing.start(cluster.target("blue", 2), origin);
      await Promise.all([near.moved(), far.moved()]);
      const { mark } = program;
      first.arrivals = "refused";
      first.fault("reset");
      await program.event("link", ({ state }) => state === "up", mark);
      await Promise.all([near.moved(), far.moved()]);
      for (const ongoing of [near, far]) {
        const { sent, received, outOfTurn } = await ongoing.finish();
        expect(received).toEqual(sent);
        expect(outOfTurn).toEqual([]);
      }
      const anew = program.events
        .slice(mark)
        .filter(({ event, resumed }) => event === "ready" && resumed !== true);
      expect(anew).toEqual([]);
      // It is where it was: the other relay has no session of its own.
      const { self, nodes } = await cluster.relay(0).status();
      expect([self, ...nodes].map(({ tunnels }) => tunnels)).toEqual([1, 0, 0]);
    },
    testLimitMs,
  );

clusterTest(
  "a newer instance that comes to another relay takes the name over everywhere, and the older one is told",
  async () => {
    await using cluster = await Cluster.start();
    await using cleanup = new AsyncDisposableStack();
    const [older, newer] = await Promise.all([startWebEcho("older"), startWebEcho("newer")]);
    cleanup.defer(() => older.close());
    cleanup.defer(() => newer.close());
    const first = await agent(cluster, cluster.relay(0).url, older.port);
    await cluster.known(1);
    for (const entry of cluster.relays.keys())
      expect((await visit(cluster.target("blue", entry))).text).toBe("older ");
    await agent(cluster, cluster.relay(1).url, newer.port);
    expect(await first.exit()).toBe(6);
    expect(first.events.at(-1)).toMatchObject({ event: "error", code: "superseded", fatal: true });
    const before = older.exchanges.length;
    for (const entry of cluster.relays.keys())
      expect((await visit(cluster.target("blue", entry))).text).toBe("newer ");
    expect(older.exchanges.length).toBe(before);
  },
  testLimitMs,
);

clusterTest(
  "one that joins at another relay shares the name",
  async () => {
    await using cluster = await Cluster.start();
    await using cleanup = new AsyncDisposableStack();
    const [one, other] = await Promise.all([startWebEcho("one"), startWebEcho("other")]);
    cleanup.defer(() => one.close());
    cleanup.defer(() => other.close());
    const first = await agent(cluster, cluster.relay(0).url, one.port, "--join", "--links", "1");
    const second = await agent(cluster, cluster.relay(1).url, other.port, "--join", "--links", "1");
    await cluster.relay(2).until("both", ({ nodes }) => nodes.every(({ tunnels }) => tunnels > 0));
    // The one that is near comes first.
    expect((await visit(cluster.target("blue", 0))).text).toBe("one ");
    expect((await visit(cluster.target("blue", 1))).text).toBe("other ");
    expect(["one ", "other "]).toContain((await visit(cluster.target("blue", 2))).text);
    // When one leaves, the other has all.
    first.signal("SIGINT");
    expect(await first.exit()).toBe(0);
    for (const entry of cluster.relays.keys())
      expect((await visit(cluster.target("blue", entry))).text).toBe("other ");
    expect(second.events.filter(({ event }) => event === "error")).toEqual([]);
  },
  testLimitMs,
);

clusterTest(
  "of two that ask for one name at two relays at the same moment, of two subjects, one gets it",
  async () => {
    await using cluster = await Cluster.start();
    const origin = await startWebEcho("web");
    await using cleanup = new AsyncDisposableStack();
    cleanup.defer(() => origin.close());
    const subjects = ["alice", "bob", "carol"];
    const tokens = await Promise.all(subjects.map((sub) => cluster.token({ sub })));
    for (let round = 0; round < 3; round++) {
      const asked = tokens.map((token, i) => {
        const relay = cluster.relay(i).url;
        const args = ["http", String(origin.port), "--name", `wanted-${round}`, "--relay", relay, "--json"];
        const program = agentProgram(args, { env: { UNDERPASS_TOKEN: token } });
        programs.push(program);
        return program;
      });
      const outcomes = await Promise.all(
        asked.map((program) =>
          Promise.race([
            program.event("ready").then(
              () => "ready",
              () => "ended",
            ),
            program.exited.then((code) => `exit ${code}`),
          ]),
        ),
      );
      expect(outcomes.filter((outcome) => outcome === "ready")).toHaveLength(1);
      expect(
        await Promise.all(
          asked.map(async (program, i) => (outcomes[i] === "ready" ? 0 : await program.exit())),
        ),
      ).toEqual(outcomes.map((outcome) => (outcome === "ready" ? 0 : 4)));
    }
  },
  testLimitMs,
);
