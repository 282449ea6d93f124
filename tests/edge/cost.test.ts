import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Program } from "../blackbox/programs/program.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { Visitor, visit } from "../blackbox/raw/visitor.ts";
import { record } from "./figures.ts";
import { HandAgent } from "./hand-agent.ts";
import type { ObjectCounts } from "./object-counts.ts";
import { startWorkerdRelay, type WorkerdRelay } from "./workerd-relay.ts";

const testLimitMs = 120_000;
const mebibyte = 1_048_576;
const smallRequests = 1_000;
const largeMebibytes = 64;
const piece = new Uint8Array(mebibyte);

let relay: WorkerdRelay;
let origin: RawOrigin;

beforeAll(async () => {
  [relay, origin] = await Promise.all([startWorkerdRelay({ counted: true }), RawOrigin.listen(answerOk)]);
}, testLimitMs);
afterAll(async () => {
  await relay?.stop();
  await origin?.close();
});

type Counted = Exclude<keyof ObjectCounts, "resting">;

/** What a tunnel's object was asked while `run` ran, and until it had come to rest where it does. */
async function costOf(name: string, transport: "ws" | "sse", run: () => Promise<void>) {
  const { workerd } = relay;
  // A link of events keeps its object awake.
  const look = () => (transport === "ws" ? workerd.rest(name) : workerd.counts(name));
  const before = await look();
  await run();
  const after = await look();
  const difference = (count: Counted) => [count, after[count] - before[count]] as const;
  const counts = (Object.keys(before) as (keyof ObjectCounts)[]).filter((count) => count !== "resting");
  return Object.fromEntries(counts.map(difference)) as Record<Counted, number>;
}

/** Requests to objects that Cloudflare bills: twenty WebSocket messages are one. */
function billedRequests(cost: Record<Counted, number>): number {
  return cost.fetches + cost.calls + cost.ownerCalls + cost.alarms + cost.messages / 20;
}

/** Notes the figures, divided by how often the same thing was done. */
function note(name: string, cost: Record<Counted, number>, times: number): void {
  const each = Object.fromEntries(
    Object.entries({ ...cost, billedRequests: billedRequests(cost) }).map(([count, value]) => [
      count,
      Number((value / times).toFixed(4)),
    ]),
  );
  record("cost", { [name]: each });
  console.log(`${name}: ${JSON.stringify(each)}`);
}

async function smallOnes(name: string, atATime: number): Promise<void> {
  const target = { port: relay.port, host: relay.hostFor(name) };
  let left = smallRequests;
  const lane = async () => {
    while (left-- > 0) expect((await visit(target)).status).toBe(200);
  };
  await Promise.all(Array.from({ length: atATime }, lane));
}

async function download(name: string): Promise<void> {
  origin.script = async (exchange) => {
    await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${largeMebibytes * mebibyte}\r\n\r\n`);
    for (let sent = 0; sent < largeMebibytes; sent++) await exchange.send(piece);
  };
  using visitor = await Visitor.connect({ port: relay.port, host: relay.hostFor(name) });
  await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
  const { body } = await visitor.answer();
  expect((await body.sha256()).bytes).toBe(largeMebibytes * mebibyte);
  origin.script = answerOk;
}

async function upload(name: string): Promise<void> {
  let bytes = 0;
  origin.script = async (exchange) => {
    bytes = (await exchange.body.sha256()).bytes;
    await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  using visitor = await Visitor.connect({ port: relay.port, host: relay.hostFor(name) });
  await visitor.send(`POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${largeMebibytes * mebibyte}\r\n\r\n`);
  for (let sent = 0; sent < largeMebibytes; sent++) await visitor.wire.send(piece);
  expect((await visitor.answer()).status).toBe(200);
  expect(bytes).toBe(largeMebibytes * mebibyte);
  origin.script = answerOk;
}

/** How often the agent has told of a link in doubt, or lost, from `mark` on. */
async function doubtsOf(agent: Program, name: string, mark: number): Promise<number> {
  const path = "/told";
  await visit({ port: relay.port, host: relay.hostFor(name) }, path);
  // Events come in order: those before it are here, too.
  await agent.event("request", (event) => event["path"] === path, mark);
  return agent.events.slice(mark).filter(({ event, state }) => event === "link" && state !== "up").length;
}

/** At most, for each small request, and for each MiB down and up, beside the dials. */
const most = {
  /**
   * For each doubt, and none without: its own and that of the other link, for which it is a reason to look. A machine that
   * gives the other side no turn for 250 ms is one, rightly: nothing tells such a silence from that of a dead link.
   */
  dials: 2,
  ws: { fetches: 1, messages: 1.5, down: { fetches: 0.1, messages: 19 }, up: { fetches: 0.1, messages: 10 } },
  sse: { fetches: 2.5, messages: 0, down: { fetches: 12, messages: 0 }, up: { fetches: 17, messages: 0 } },
} as const;

describe.each(["ws", "sse"] as const)("over links of %s", (transport) => {
  const name = `cost-${transport}`;
  let agent: Program;

  beforeAll(async () => {
    const token = await relay.token();
    const args = ["--transport", transport];
    agent = await startAgent(relay, { origin: origin.port, name, token, args });
    await agent.event("link", ({ link, state }) => link === 1 && state === "up");
  }, testLimitMs);
  afterAll(() => agent?.kill());

  test.each([1, 32])(
    "small requests, %i at a time",
    async (atATime) => {
      const { mark } = agent;
      const cost = await costOf(name, transport, () => smallOnes(name, atATime));
      note(`${transport}, a small request of ${atATime} at a time`, cost, smallRequests);
      expect(cost.dials).toBeLessThanOrEqual(most.dials * (await doubtsOf(agent, name, mark)));
      expect(cost.fetches - cost.dials).toBeLessThanOrEqual(most[transport].fetches * smallRequests);
      expect(cost.messages).toBeLessThanOrEqual(most[transport].messages * smallRequests);
      expect([cost.constructed, cost.alarms, cost.rowsWritten]).toEqual([0, 0, 0]);
    },
    testLimitMs,
  );

  test.each([
    ["down", download],
    ["up", upload],
  ] as const)(
    "a large body %s",
    async (way, carry) => {
      const { mark } = agent;
      const cost = await costOf(name, transport, () => carry(name));
      note(`${transport}, a MiB ${way}`, cost, largeMebibytes);
      expect(cost.dials).toBeLessThanOrEqual(most.dials * (await doubtsOf(agent, name, mark)));
      expect(cost.fetches - cost.dials).toBeLessThanOrEqual(most[transport][way].fetches * largeMebibytes);
      expect(cost.messages).toBeLessThanOrEqual(most[transport][way].messages * largeMebibytes);
      expect([cost.constructed, cost.alarms, cost.rowsWritten]).toEqual([0, 0, 0]);
    },
    testLimitMs,
  );
});

describe("beside what is carried", () => {
  const rounds = 10;

  test("a request that wakes its object reads a few rows, and writes none", async () => {
    const name = "cost-awakening";
    const { agent } = await HandAgent.join(relay, { name, token: await relay.token() });
    const cost = await costOf(name, "ws", async () => {
      for (let round = 1; round <= rounds; round++) {
        await relay.workerd.rest(name);
        await relay.workerd.evict(name);
        await agent.say({ record: "OPEN", stream: 2 * round - 1, kind: 77, head: "" });
        await agent.records();
        await agent.say({ record: "ACK", count: round });
      }
    });
    note("an awakening", cost, rounds);
    expect([cost.constructed, cost.rowsWritten]).toEqual([rounds, 0]);
    expect(cost.rowsRead).toBeLessThanOrEqual(2 * rounds);
    // That it looks whether tokens were revoked.
    expect(cost.ownerCalls).toBeLessThanOrEqual(rounds);
    agent.close();
  });

  test("a dial is a request, a few messages and a few rows", async () => {
    const name = "cost-dials";
    const token = await relay.token();
    // The first also begins the name, and its object.
    const { agent } = await HandAgent.join(relay, { name, token });
    agent.close();
    const cost = await costOf(name, "ws", async () => {
      for (let attempt = 2; attempt < 2 + rounds; attempt++) {
        const next = await HandAgent.join(relay, { name, token }, { attempt });
        await relay.workerd.rest(name);
        next.agent.close();
      }
    });
    note("a dial", cost, rounds);
    expect([cost.fetches, cost.dials]).toEqual([rounds, rounds]);
    expect(cost.messages).toBeLessThanOrEqual(4 * rounds);
    expect(cost.rowsWritten).toBeLessThanOrEqual(8 * rounds);
  });
});
