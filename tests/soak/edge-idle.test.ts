import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Program } from "../blackbox/programs/program.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { visit } from "../blackbox/raw/visitor.ts";
import { record } from "../edge/figures.ts";
import type { ObjectCounts } from "../edge/object-counts.ts";
import { startWorkerdRelay, type WorkerdRelay } from "../edge/workerd-relay.ts";
import { Figures } from "./figures.ts";

const idleMinutes = 10;
const testLimitMs = (idleMinutes + 2) * 60_000;

const figures = new Figures();
let relay: WorkerdRelay;
let origin: RawOrigin;
const agents: Program[] = [];

beforeAll(async () => {
  [relay, origin] = await Promise.all([startWorkerdRelay({ counted: true }), RawOrigin.listen(answerOk)]);
}, testLimitMs);
afterAll(async () => {
  figures.print();
  for (const agent of agents) await agent.kill();
  await relay?.stop();
  await origin?.close();
});

/** An agent with both of its links, over which a visitor has been. */
async function start(name: string, transport: "ws" | "sse"): Promise<Program> {
  const args = ["--transport", transport];
  const agent = await startAgent(relay, { origin: origin.port, name, token: await relay.token(), args });
  agents.push(agent);
  await agent.event("link", ({ link, state }) => link === 1 && state === "up");
  expect((await visit({ port: relay.port, host: relay.hostFor(name) })).status).toBe(200);
  return agent;
}

/** What is billed of an object, and what its agents had sent to them. */
function asked({ constructed, fetches, calls, messages, alarms, rowsRead, rowsWritten, sent }: ObjectCounts) {
  return { constructed, fetches, calls, messages, alarms, rowsRead, rowsWritten, sent };
}

test(
  `${idleMinutes} minutes of keepalive wake no object, and then the session is the one that it was`,
  async () => {
    const agent = await start("idle", "ws");
    await start("events", "sse");
    const { mark } = agent;
    const before = await relay.workerd.rest("idle");
    const eventsBefore = await relay.workerd.counts("events");
    // The wait is the test.
    await Bun.sleep(idleMinutes * 60_000);
    const after = await relay.workerd.counts("idle");
    expect(asked(after)).toEqual(asked(before));
    const eventsAfter = await relay.workerd.counts("events");
    const wakeups = after.constructed - before.constructed + after.messages - before.messages;
    const posts = eventsAfter.fetches - eventsBefore.fetches;
    figures.note(`wake-ups in ${idleMinutes} idle minutes`, wakeups);
    figures.note(`ms awake in ${idleMinutes} idle minutes`, after.busyMs - before.busyMs);
    const looks = after.ownerCalls - before.ownerCalls;
    figures.note(`looks for revocations in ${idleMinutes} minutes, of all objects`, looks);
    figures.note(`POSTs of two links of events in ${idleMinutes} idle minutes`, posts);
    record("wakeUps", { [`${idleMinutes} idle minutes`]: wakeups });
    expect((await visit({ port: relay.port, host: relay.hostFor("idle") })).status).toBe(200);
    const woken = await relay.workerd.rest("idle");
    expect([woken.constructed, woken.fetches]).toEqual([before.constructed + 1, before.fetches + 1]);
    expect(relay.workerd.awakenings("idle").at(-1)).toMatchObject({ sessions: 2, links: 2, gone: 0 });
    const events = agent.events.slice(mark).map(({ event }) => event);
    expect(events).toEqual(["request"]);
  },
  testLimitMs,
);
