import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Program } from "../blackbox/programs/program.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { visit } from "../blackbox/raw/visitor.ts";
import { HandAgent } from "./hand-agent.ts";
import { startWorkerdRelay, type WorkerdRelay } from "./workerd-relay.ts";
import { workersDate } from "./workers-date.ts";

/**
 * Longer than the 10 s after which the platform puts an object to sleep by itself, and than what an object stays awake
 * for rather than set an alarm. All that is here ends after this, at once: the wait is the same for all.
 */
const span = "16s";
/** A token says its end in whole seconds, which are cut off: that it ends is what tells that the span is over. */
const tokenSpan = "18s";
const testLimitMs = 60_000;
const { links } = workersDate();

let relay: WorkerdRelay;
let origin: RawOrigin;
let agent: Program;
let expiring: HandAgent;
let waiting: Awaited<ReturnType<typeof HandAgent.join>>;
/** Resolves when the span is over: an agent is told so, by an alarm. */
let over: Promise<unknown>;

async function claim(name: string, sub: string): Promise<number> {
  const headers = { Authorization: `Bearer ${await relay.token({ sub })}` };
  const body = JSON.stringify({ kind: "http", name });
  return (await fetch(`${relay.url}/_underpass/names`, { method: "POST", headers, body })).status;
}

beforeAll(async () => {
  const args = ["--name-ttl", span, "--resume-window", span];
  [relay, origin] = await Promise.all([
    startWorkerdRelay({ counted: true, args }),
    RawOrigin.listen(answerOk),
  ]);
  const token = await relay.token();
  expect(await claim("lapsing", "alice")).toBe(201);
  waiting = await HandAgent.join(relay, { name: "waiting", token });
  waiting.agent.cut();
  agent = await startAgent(relay, {
    ...{ origin: origin.port, name: "asleep", token },
    args: ["--links", String(links)],
  });
  await agent.event("link", ({ link, state }) => link === links - 1 && state === "up");
  expect((await visit({ port: relay.port, host: relay.hostFor("asleep") })).status).toBe(200);
  const brief = await relay.token({ ttl: tokenSpan });
  expiring = (await HandAgent.join(relay, { name: "expiring", token: brief })).agent;
  over = expiring.records();
}, testLimitMs);
afterAll(async () => {
  await agent?.kill();
  await relay?.stop();
  await origin?.close();
});

test(
  "a token that ends while the object sleeps: an alarm wakes it, and the agent is told",
  async () => {
    expect(await over).toEqual([
      expect.objectContaining({ record: "GOAWAY", kind: "drain", code: "token-expired" }),
    ]);
    expect((await relay.workerd.counts("expiring")).constructed).toBe(2);
    expiring.close();
  },
  testLimitMs,
);

test(
  "an object goes to sleep by itself with its agents' links, and goes on where it was",
  async () => {
    await over;
    const before = await relay.workerd.counts("asleep");
    expect(before).toMatchObject({ constructed: 1, fetches: links + 1, alarms: 0 });
    expect((await visit({ port: relay.port, host: relay.hostFor("asleep") })).status).toBe(200);
    const after = await relay.workerd.rest("asleep");
    expect([after.constructed, after.fetches]).toEqual([2, links + 2]);
    expect(relay.workerd.awakenings("asleep").at(-1)).toMatchObject({ sessions: links, links, gone: 0 });
    expect(agent.events.filter(({ event }) => event === "link").length).toBe(links);
  },
  testLimitMs,
);

test(
  "a session whose window passes while the object sleeps is gone",
  async () => {
    await over;
    expect((await relay.workerd.counts("waiting")).constructed).toBe(2);
    const { session, secret = "" } = waiting.welcome;
    const resumed = await HandAgent.dial(relay, { name: "waiting", token: await relay.token(), session });
    const welcome = await resumed.greet({ attempt: 2, resume: { id: session, secret, received: 0 } });
    expect(welcome.resumed).toBe(false);
    resumed.close();
  },
  testLimitMs,
);

test(
  "a name that lapses while its object sleeps is anybody's",
  async () => {
    await over;
    expect((await relay.workerd.counts("lapsing")).constructed).toBe(2);
    expect(await claim("lapsing", "bob")).toBe(201);
  },
  testLimitMs,
);
