import { afterAll, beforeAll, expect, test } from "bun:test";
import { Ongoing } from "../blackbox/ongoing.ts";
import { residentMiB } from "../blackbox/programs/memory.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { type Relay, startRelay } from "../blackbox/programs/relay.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { type Target, Visitor } from "../blackbox/raw/visitor.ts";
import { opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 3_600_000;
const warmUpCycles = 120_000;
const warmUpResumes = 200;
const cycleCount = 100_000;
const resumeCount = 2_000;
const visitorCount = 32;
/** Downloads and WebSockets that are open through all resumes. */
const ongoingCount = 4;
/** Resident memory is read so often, each time after so many cycles; the median counts. */
const samples = 15;
const cyclesPerSample = 2_000;
const maxGrowth = 1.1;

const figures = new Figures();
let origin: RawOrigin;
let relay: Relay;
let proxy: FaultProxy;
let agent: Program;
let target: Target;

beforeAll(async () => {
  origin = await RawOrigin.listen();
  relay = await startRelay();
  proxy = await FaultProxy.listen(relay.port);
  const token = await relay.token();
  const name = "cycles";
  agent = await startAgent({ ...relay, url: proxy.url }, { origin: origin.port, name, token });
  target = { port: relay.port, host: relay.hostFor(name) };
  const answer = origin.script;
  origin.script = async (exchange) => {
    // The origin of a test keeps all it has seen, which is too much here.
    origin.exchanges.length = 0;
    if (exchange.head.target !== "/echo") return answer(exchange);
    const socket = await RawWebSocket.accept(exchange);
    for (;;) await socket.send(opcodes.text, await socket.text());
  };
}, testLimitMs);
afterAll(async () => {
  figures.print();
  await agent?.kill();
  await proxy?.close();
  await relay?.kill();
  await origin?.close();
});

test(
  "100,000 streams opened and closed, and 2,000 resumes, leave the memory of both sides where it settled",
  async () => {
    await cycle(warmUpCycles);
    await resume(warmUpResumes);
    const settled = await measure();
    figures.note("MiB settled", settled);

    const cyclesAtMs = performance.now();
    await cycle(cycleCount);
    figures.note(
      "streams opened and closed a second",
      Math.round((cycleCount / (performance.now() - cyclesAtMs)) * 1000),
    );
    const cycled = await measure();
    figures.note(`MiB after ${cycleCount} streams`, cycled);

    const resumesAtMs = performance.now();
    const resumes = await resume(resumeCount);
    figures.note("resumes", resumes);
    figures.note("ms a resume", Math.round((performance.now() - resumesAtMs) / resumes));
    const resumed = await measure();
    figures.note(`MiB after ${resumes} resumes`, resumed);

    expect(resumes).toBeGreaterThanOrEqual(resumeCount);
    for (const after of [cycled, resumed]) {
      expect(after.relay).toBeLessThanOrEqual(settled.relay * maxGrowth);
      expect(after.agent).toBeLessThanOrEqual(settled.agent * maxGrowth);
    }
  },
  testLimitMs,
);

/** So many streams: most are requests on kept connections, some a WebSocket of one message, some left in mid-answer. */
async function cycle(count: number): Promise<void> {
  let next = 0;
  const visitors = Array.from({ length: visitorCount }, async () => {
    let visitor = await Visitor.connect(target);
    for (let id = next++; id < count; id = next++) {
      if (id % 20 === 7) {
        const socket = await RawWebSocket.connect(target, { path: "/echo" });
        await socket.send(opcodes.text, String(id));
        expect(await socket.text()).toBe(String(id));
        socket.close();
      } else if (id % 20 === 13) {
        await visitor.send("GET /left HTTP/1.1\r\nHost: HOST\r\n\r\n");
        visitor.wire.abort();
        visitor = await Visitor.connect(target);
      } else {
        await visitor.send("POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello");
        const { status, body } = await visitor.answer("POST");
        expect([status, await body.text()]).toEqual([200, "ok"]);
      }
    }
    visitor.close();
  });
  await Promise.all(visitors);
}

/** Cuts all links, waits until all streams go on, and does it again. Returns how often a link came back. */
async function resume(count: number): Promise<number> {
  const ongoing: Ongoing[] = [];
  for (let i = 0; i < ongoingCount; i++) ongoing.push(await Ongoing.start(target, origin));
  let resumes = 0;
  for (let round = 0; resumes < count; round++) {
    const { mark } = agent;
    expect(proxy.fault(round % 2 === 0 ? "reset" : "end").length).toBeGreaterThan(0);
    await agent.event("link", ({ state }) => state === "up", mark);
    await Promise.all(ongoing.map((each) => each.moved()));
    resumes += agent.events
      .slice(mark)
      .filter(({ event, state }) => event === "link" && state === "up").length;
  }
  for (const each of ongoing) {
    const { sent, received, outOfTurn } = await each.finish();
    expect(received).toEqual(sent);
    expect(outOfTurn).toEqual([]);
  }
  return resumes;
}

async function measure(): Promise<{ relay: number; agent: number }> {
  const relays: number[] = [];
  const agents: number[] = [];
  for (let i = 0; i < samples; i++) {
    await cycle(cyclesPerSample);
    relays.push((await residentMiB(relay.pid ?? agent.pid)).now);
    agents.push((await residentMiB(agent.pid)).now);
  }
  const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
  return { relay: median(relays), agent: median(agents) };
}
