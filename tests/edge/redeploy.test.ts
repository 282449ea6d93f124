import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Program } from "../blackbox/programs/program.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { visit } from "../blackbox/raw/visitor.ts";
import { HandAgent } from "./hand-agent.ts";
import { startWorkerdRelay, type WorkerdRelay } from "./workerd-relay.ts";
import { workersDate } from "./workers-date.ts";

const testLimitMs = 60_000;
/** Of an agent's first dial after it lost a link. */
const firstDialWithinMs = 250;
const agentCount = 6;
const { links } = workersDate();

let data: string;
let origin: RawOrigin;
let relay: WorkerdRelay;
const programs: Program[] = [];

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), "underpass-redeploy-"));
  [relay, origin] = await Promise.all([
    startWorkerdRelay({ data, counted: true }),
    RawOrigin.listen(answerOk),
  ]);
}, testLimitMs);
afterAll(async () => {
  for (const program of programs) await program.kill();
  await relay?.stop();
  await origin?.close();
  await rm(data, { recursive: true, force: true });
});

const target = (name: string) => ({ port: relay.port, host: relay.hostFor(name) });

async function start(name: string): Promise<Program> {
  // A workerd that starts slowly must not meet agents that have given up hope for longer than visitors wait.
  const args = ["--links", String(links), "--max-reconnect-delay", "1s"];
  const agent = await startAgent(relay, { origin: origin.port, name, token: await relay.token(), args });
  programs.push(agent);
  await agent.event("link", ({ link, state }) => link === links - 1 && state === "up");
  return agent;
}

test(
  "a deployment: agents dial with spread and have fresh sessions, and who visits meanwhile waits for them",
  async () => {
    const names = Array.from({ length: agentCount }, (_, i) => `deployed-${i}`);
    const agents = await Promise.all(names.map(start));
    const marks = agents.map(({ mark }) => mark);
    await Promise.all(names.map((name) => relay.workerd.abort(name)));
    const statuses = await Promise.all(names.map(async (name) => (await visit(target(name))).status));
    expect(statuses).toEqual(Array(agentCount).fill(200));
    const delays: number[] = [];
    for (const [i, agent] of agents.entries()) {
      const lost = Array.from({ length: links }, (_, link) =>
        agent.event("link", (event) => event["link"] === link && event["state"] === "lost", marks[i]),
      );
      for (const event of lost) delays.push(Number((await event)["delayMs"]));
      expect(await agent.event("ready", () => true, marks[i])).toMatchObject({
        name: names[i],
        resumed: false,
      });
    }
    for (const delayMs of delays) expect(delayMs).toBeLessThanOrEqual(firstDialWithinMs);
    // Drawn from 250 ms, in whole ones: a few may be the same.
    expect(new Set(delays).size).toBeGreaterThan(delays.length / 2);
  },
  testLimitMs,
);

test(
  "a second deployment at once, while agents come back from the first",
  async () => {
    const agent = await start("twice");
    const { mark } = agent;
    await relay.workerd.abort("twice");
    const early = visit(target("twice"));
    await agent.event("link", ({ state }) => state === "lost", mark);
    await relay.workerd.abort("twice");
    // Whoever waited in the object that ended is told; who comes now waits.
    expect([200, 502]).toContain((await early).status);
    expect((await visit(target("twice"))).status).toBe(200);
  },
  testLimitMs,
);

test(
  "all of it anew, with what was stored: names are their owners', agents come back, visitors wait for them",
  async () => {
    const agent = await start("stored");
    const { mark } = agent;
    const { port } = relay;
    await relay.stop();
    relay = await startWorkerdRelay({ data, port, counted: true });
    // Nobody has dialled yet: what is known of the name is what was stored.
    expect((await visit(target("stored"))).status).toBe(200);
    expect(await agent.event("ready", () => true, mark)).toMatchObject({ resumed: false });
    const stranger = HandAgent.dial(relay, { name: "stored", token: await relay.token({ sub: "mallory" }) });
    await expect(stranger).rejects.toThrow("409");
  },
  testLimitMs,
);

test(
  "who visits a tunnel whose agent never comes back waits once, however often the object begins anew",
  async () => {
    const own = await startWorkerdRelay({ counted: true, args: ["--resume-window", "1s"] });
    try {
      const { agent } = await HandAgent.join(own, { name: "left", token: await own.token() });
      await own.workerd.rest("left");
      agent.cut();
      await own.workerd.abort("left");
      const waitedMs: number[] = [];
      for (let round = 0; round < 3; round++) {
        const beganMs = performance.now();
        const { status, head } = await visit({ port: own.port, host: own.hostFor("left") });
        waitedMs.push(performance.now() - beganMs);
        expect([status, head.field("underpass-error")]).toEqual([503, "agent-offline"]);
        await own.workerd.abort("left");
      }
      const [first = 0, ...others] = waitedMs;
      for (const ms of others) expect(ms).toBeLessThan(first / 2);
    } finally {
      await own.stop();
    }
  },
  testLimitMs,
);
