import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testExcept } from "./programs/except.ts";
import type { Program } from "./programs/program.ts";
import { isCluster, type Relay, relayRuntime, startRelay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { within } from "./programs/within.ts";
import { type Exchange, RawOrigin } from "./raw/origin.ts";
import { Visitor, visit } from "./raw/visitor.ts";

const testLimitMs = 120_000;
const waitLimitMs = 30_000;
const holdMs = 10_000;
/** More than the first window of a stream, and than what the relay keeps of a body. */
const largeBytes = 1_048_576;

let data: string;
let origin: RawOrigin;
let relay: Relay;
let token: string;
let agent: Program;
/** Links that are no agent's. */
let neighbours = 0;
/** What reached the origin: for each request id the hash of its body, once for each time it came. */
const seen = new Map<string, string[]>();

const hash = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");
const start = () => startAgent(relay, { origin: origin.port, name: "blue", token });
const target = () => ({ port: relay.port, host: relay.hostFor("blue") });

async function script(exchange: Exchange): Promise<void> {
  const id = exchange.head.start.split(" ")[1] ?? "";
  const { sha256 } = await exchange.body.sha256();
  seen.set(id, [...(seen.get(id) ?? []), sha256]);
  const answer = `${id} ${sha256}`;
  await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`);
}

/** One of the relay's own counts. */
async function gauge(name: string): Promise<number> {
  const text = await (await fetch(`${relay.url}/metrics`)).text();
  return Number(new RegExp(`^underpass_${name} (\\d+)$`, "m").exec(text)?.[1]);
}

/** Nothing tells when the relay has got so far but its counts. */
async function untilGauge(name: string, value: number): Promise<void> {
  const wait = async () => {
    while ((await gauge(name)) !== value) await Bun.sleep(5);
  };
  await within(wait(), waitLimitMs, () => `${name} to be ${value}`);
}

/** The agent is gone without a word, and the relay has seen its links close. */
async function killAgent(): Promise<void> {
  await agent.kill();
  await untilGauge("links", neighbours);
}

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), "underpass-hold-"));
  origin = await RawOrigin.listen(script);
  relay = await startRelay({ data });
  token = await relay.token();
  if (isCluster) neighbours = await gauge("links");
}, testLimitMs);
beforeEach(async () => {
  seen.clear();
  agent = await start();
}, testLimitMs);
afterEach(() => agent?.kill());
afterAll(async () => {
  await relay?.kill();
  await origin?.close();
  await rm(data, { recursive: true, force: true });
});

const counts = { workerd: "the counts of an object are not shown" };

testExcept(
  counts,
  "requests that come while the agent is away are served by the next one, each exactly once",
  async () => {
    await killAgent();
    const bodies = Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0 ? "" : i === 7 ? "x".repeat(largeBytes) : `body ${i} `.repeat(i * 40),
    );
    const visitors = await Promise.all(bodies.map(() => Visitor.connect(target())));
    const sent = visitors.map((visitor, i) => {
      const body = bodies[i] ?? "";
      const how = body === "" ? "GET" : "POST";
      const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`;
      return visitor.send(`${how} /${i} HTTP/1.1\r\nHost: HOST\r\n${length}\r\n${body}`);
    });
    await untilGauge("held", 20);
    expect(seen.size).toBe(0);
    agent = await start();
    for (const [i, visitor] of visitors.entries()) {
      const served = (async () => {
        await sent[i];
        const answer = await visitor.answer();
        return `${answer.status} ${await answer.body.text()}`;
      })();
      const told = () => `the answer to request ${i}, ${agent.describe()}`;
      expect(await within(served, waitLimitMs, told)).toBe(`200 /${i} ${hash(bodies[i] ?? "")}`);
      visitor.close();
    }
    expect(Object.fromEntries(seen)).toEqual(
      Object.fromEntries(bodies.map((body, i) => [`/${i}`, [hash(body)]])),
    );
    expect(await gauge("held")).toBe(0);
  },
  testLimitMs,
);

testExcept(
  counts,
  "a request whose visitor has left while it waited reaches no origin",
  async () => {
    await killAgent();
    const stays = await Visitor.connect(target());
    const leaves = await Visitor.connect(target());
    await leaves.send("GET /leaves HTTP/1.1\r\nHost: HOST\r\n\r\n");
    await untilGauge("held", 1);
    await stays.send("GET /stays HTTP/1.1\r\nHost: HOST\r\n\r\n");
    await untilGauge("held", 2);
    leaves.wire.abort();
    await untilGauge("held", 1);
    agent = await start();
    expect((await within(stays.answer(), waitLimitMs, () => agent.describe())).status).toBe(200);
    stays.close();
    expect([...seen.keys()]).toEqual(["/stays"]);
  },
  testLimitMs,
);

testExcept(
  counts,
  "when nobody comes, a request gets 503 with Retry-After after its wait, and its socket can be used again",
  async () => {
    await killAgent();
    using visitor = await Visitor.connect(target());
    const sentAt = performance.now();
    await visitor.send("GET /in-vain HTTP/1.1\r\nHost: HOST\r\n\r\n");
    const { status, head, body } = await within(visitor.answer(), waitLimitMs, () => "an answer");
    const waitedMs = performance.now() - sentAt;
    expect([status, head.field("underpass-error")]).toEqual([503, "agent-offline"]);
    expect(Number(head.field("retry-after"))).toBeGreaterThan(0);
    expect(waitedMs).toBeGreaterThan(holdMs - 100);
    expect(waitedMs).toBeLessThan(holdMs + 5_000);
    await body.text();
    agent = await start();
    await visitor.send("GET /again HTTP/1.1\r\nHost: HOST\r\n\r\n");
    expect((await within(visitor.answer(), waitLimitMs, () => agent.describe())).status).toBe(200);
    expect([...seen.keys()]).toEqual(["/again"]);
  },
  testLimitMs,
);

test(
  "after the agent has said goodbye nobody waits",
  async () => {
    agent.signal("SIGINT");
    expect(await agent.exit()).toBe(0);
    const askedAt = performance.now();
    const { status, head } = await within(visit(target()), waitLimitMs, () => "an answer");
    expect([status, head.field("underpass-error")]).toEqual([503, "agent-offline"]);
    expect(performance.now() - askedAt).toBeLessThan(holdMs / 2);
    expect(seen.size).toBe(0);
    if (relayRuntime !== "workerd") expect(await gauge("held")).toBe(0);
  },
  testLimitMs,
);

test(
  "a name that nobody has ever had gets its answer at once",
  async () => {
    const host = relay.hostFor("never-here");
    const { status } = await within(visit({ port: relay.port, host }), holdMs / 2, () => "an answer");
    expect(status).toBe(404);
  },
  testLimitMs,
);
