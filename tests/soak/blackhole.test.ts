import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { Ongoing } from "../blackbox/ongoing.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { type Relay, startRelay } from "../blackbox/programs/relay.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { within } from "../blackbox/programs/within.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { type Target, visit } from "../blackbox/raw/visitor.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import type { Direction, FaultyPipe } from "../faults/faulty-pipe.ts";
import { Figures } from "./figures.ts";
import { LagMeter } from "./lag-meter.ts";

const testLimitMs = 180_000;
const waitLimitMs = 30_000;
/** The bars: a link is suspect after max(4 round trips, this), and so long may the slowest of 100 new requests take. */
const leastSuspicionMs = 250;
const maxNewRequestMs = 1_500;
/** Streams are written to so often: the first send into the black hole is no later. */
const paceMs = 20;
/** New requests during the outage: one each so often, for so long. */
const newRequestEveryMs = 20;
const outageMs = 4_000;
/** An idle tunnel's ping comes each 15 s. */
const pingLimitMs = 40_000;
const foreverMs = 3_600_000;

const figures = new Figures();
let origin: RawOrigin;
let relay: Relay;
let token: string;
let proxy: FaultProxy;
let agent: Program;
let target: Target;
let tap: (pipe: number, direction: Direction) => void;

beforeAll(async () => {
  origin = await RawOrigin.listen();
  relay = await startRelay();
  token = await relay.token();
}, testLimitMs);
afterAll(async () => {
  figures.print();
  await relay?.kill();
  await origin?.close();
});
beforeEach(async () => {
  tap = () => {};
  proxy = await FaultProxy.listen(relay.port, {
    tap: (pipe) => (direction) => tap(pipe.index, direction),
  });
  const name = "holes";
  agent = await startAgent({ ...relay, url: proxy.url }, { origin: origin.port, name, token });
  target = { port: relay.port, host: relay.hostFor(name) };
  for (const slot of [0, 1]) await agent.event("link", ({ link, state }) => link === slot && state === "up");
}, testLimitMs);
afterEach(async () => {
  await agent.stop();
  await proxy.close();
});

test.each([0, 50])(
  "a black hole on one of two links, %i ms away: suspect in time, streams resumed beside it, new requests hardly wait",
  async (delayMs) => {
    proxy.setWeather({ delayMs });
    using ongoing = await Ongoing.start(target, origin);
    const sent = new Map<number, number>();
    tap = (pipe, direction) => {
      if (direction === "up") sent.set(pipe, (sent.get(pipe) ?? 0) + 1);
    };
    // Long enough for round trips to be measured; the pipe on which most is said is the one with the streams.
    for (let i = 0; i < 20; i++) await ongoing.moved();
    const [busiest = 0] = [...sent].toSorted(([, a], [, b]) => b - a)[0] ?? [];
    const { mark } = agent;
    using lag = new LagMeter();
    const cut = (await proxy.pipe(busiest)).fault("swallow");
    const suspected = agent.event("link", ({ state }) => state === "suspect", mark);
    const latencies = visitSteadily(target);
    await within(suspected, waitLimitMs, () => agent.describe());
    const suspectMs = performance.now() - cut.atMs;
    await ongoing.moved();
    const resumedMs = performance.now() - cut.atMs;
    const sorted = (await latencies).toSorted((a, b) => a - b);
    const p99 = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN;
    const story = await ongoing.finish();
    const marginMs = paceMs + 2 * lag.worstMs;
    const barMs = Math.max(4 * 2 * delayMs, leastSuspicionMs);
    figures.note(`black hole on one of two links, ${delayMs} ms away`, {
      suspectMs: Math.round(suspectMs),
      barMs,
      marginMs: Math.round(marginMs),
      streamsGoOnMs: Math.round(resumedMs),
      newRequests: sorted.length,
      p50: Math.round(sorted[sorted.length >> 1] ?? Number.NaN),
      p99: Math.round(p99),
      max: Math.round(sorted.at(-1) ?? Number.NaN),
    });
    expect(story.received).toEqual(story.sent);
    expect(story.outOfTurn).toEqual([]);
    expect(suspectMs).toBeLessThan(barMs + marginMs);
    expect(p99).toBeLessThan(maxNewRequestMs);
  },
  testLimitMs,
);

// One end goes on hearing the other: who notices is the one that does not, and the streams need both.
test.each(["up", "down"] as const)(
  "a link that carries nothing %s any more: streams resumed beside it, new requests hardly wait",
  async (direction) => {
    using ongoing = await Ongoing.start(target, origin);
    for (let i = 0; i < 20; i++) await ongoing.moved();
    const cutAtMs = performance.now();
    for (const pipe of proxy.live.slice(0, 1)) swallowFromNowOn(pipe, direction);
    const latencies = visitSteadily(target);
    await ongoing.moved();
    const resumedMs = performance.now() - cutAtMs;
    const sorted = (await latencies).toSorted((a, b) => a - b);
    const p99 = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN;
    const story = await ongoing.finish();
    figures.note(`nothing ${direction} on one of two links`, {
      streamsGoOnMs: Math.round(resumedMs),
      newRequests: sorted.length,
      p99: Math.round(p99),
      max: Math.round(sorted.at(-1) ?? Number.NaN),
    });
    expect(story.received).toEqual(story.sent);
    expect(story.outOfTurn).toEqual([]);
    expect(p99).toBeLessThan(maxNewRequestMs);
  },
  testLimitMs,
);

test(
  "a black hole on a link of an idle tunnel: suspect in time from the first unanswered ping on",
  async () => {
    expect((await visit(target)).text).toBe("ok");
    const pipe = await proxy.pipe(1);
    const pinged = Promise.withResolvers<number>();
    tap = (index, direction) => {
      if (index === pipe.index && direction === "up") pinged.resolve(performance.now());
    };
    const { mark } = agent;
    swallowFromNowOn(pipe, undefined);
    const suspected = agent.event("link", ({ state }) => state === "suspect", mark);
    const pingedAtMs = await within(pinged.promise, pingLimitMs, () => "a ping");
    using lag = new LagMeter();
    await within(suspected, waitLimitMs, () => agent.describe());
    const suspectMs = performance.now() - pingedAtMs;
    pipe.fault("swallow");
    const marginMs = 2 * lag.worstMs + paceMs;
    figures.note("black hole on an idle tunnel", {
      suspectMs: Math.round(suspectMs),
      barMs: leastSuspicionMs,
      marginMs: Math.round(marginMs),
    });
    expect(suspectMs).toBeLessThan(leastSuspicionMs + marginMs);
    const visitedAtMs = performance.now();
    expect((await visit(target)).text).toBe("ok");
    expect(performance.now() - visitedAtMs).toBeLessThan(maxNewRequestMs);
  },
  testLimitMs,
);

/** A black hole in which the proxy still sees what an end sends. */
function swallowFromNowOn(pipe: FaultyPipe, direction: Direction | undefined): void {
  pipe.setWeather({ delayMs: foreverMs }, direction);
}

/** Requests one after another at a fixed pace, whether or not those before have their answer. */
async function visitSteadily(target: Target): Promise<number[]> {
  const visits: Promise<number>[] = [];
  for (const until = performance.now() + outageMs; performance.now() < until; ) {
    const startedAtMs = performance.now();
    visits.push(
      visit(target).then(({ text, status }) => {
        expect([status, text]).toEqual([200, "ok"]);
        return performance.now() - startedAtMs;
      }),
    );
    await Bun.sleep(newRequestEveryMs);
  }
  return within(Promise.all(visits), waitLimitMs, () => "the answers to all new requests");
}
