import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { residentMiB } from "../blackbox/programs/memory.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { type Relay, relayRuntime } from "../blackbox/programs/relay.ts";
import { startAgentOf, startPortRelay } from "../blackbox/programs/tcp-tunnel.ts";
import { within } from "../blackbox/programs/within.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 600_000;
const visitorCount = 5_000;
/** Each opens all visitors and ends them. */
const waves = 24;
/** The first ones, until the runtimes' heaps have their size. */
const warmUpWaves = 8;
/** Memory goes up and down with what the collector has not looked at yet: the lowest of each half of the other waves is compared. */
const maxGrowth = 1.2;
/** At most so many wait to be accepted at once: a listener's backlog is 512. */
const doorWidth = 300;
/** Half of it is for first windows of 64 KiB: the default of 512 MiB would let 4,096 in. */
const relayMemory = "1GiB";
const waveLimitMs = 120_000;
const settleLimitMs = 30_000;

/** Who ends it, and how. */
const endings = ["half-close", "reset by visitor", "reset by origin", "origin first"] as const;
type Ending = (typeof endings)[number];

const figures = new Figures();
/** Visitors a second, in each wave. */
const opened: number[] = [];
const ended: number[] = [];
let relay: Relay;
let agent: Program;
let origin: Server;
let port: number;
/** What the origin saw of each visitor, by its number. */
const seen = new Map<number, string>();
let seeing = Promise.withResolvers<void>();

beforeAll(async () => {
  origin = createServer({ allowHalfOpen: true }, serve);
  await new Promise<void>((resolve) => origin.listen({ port: 0, host: "127.0.0.1", backlog: 512 }, resolve));
  relay = await startPortRelay(["--quiet", "--memory", relayMemory]);
  const target = String((origin.address() as AddressInfo).port);
  const started = await startAgentOf(relay, await relay.token(), ["tcp", target]);
  agent = started.program;
  port = Number(started.url.port);
}, testLimitMs);
afterAll(async () => {
  figures.print();
  await agent?.kill();
  await relay?.kill();
  origin?.close();
});

/** Greets a visitor with what it says first, its number and how it is to end, and ends that way when it says more. */
function serve(socket: Socket): void {
  let said = "";
  const see = (what: string) => {
    const number = Number(said.split(" ")[0]);
    if (seen.has(number)) return;
    seen.set(number, what);
    if (seen.size === visitorCount) seeing.resolve();
  };
  socket.on("error", (error: NodeJS.ErrnoException) => see(error.code ?? "error"));
  socket.on("close", () => see("closed"));
  socket.on("data", (bytes: Buffer) => {
    const isFirst = said === "";
    said += String(bytes);
    if (isFirst) socket.write(said);
    else if (said.includes("reset by origin")) {
      see("gone");
      socket.resetAndDestroy();
    } else socket.end("bye");
  });
  socket.on("end", () => {
    see("end");
    socket.end("bye");
  });
}

/** One that is open all the way: what it said first is back. */
async function open(number: number, ending: Ending): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const first = `${number} ${ending};`;
  let back = "";
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", () => reject(new Error(`visitor ${number} was closed`)));
    socket.on("data", (bytes) => {
      back += String(bytes);
      if (back === first) resolve();
    });
    socket.write(first);
  });
  socket.removeAllListeners();
  return socket;
}

/** Ends it in its way. Returns what the visitor saw. */
async function finish(socket: Socket, ending: Ending): Promise<string> {
  let heard = "";
  socket.on("data", (bytes) => void (heard += String(bytes)));
  const closed = new Promise<string>((resolve) => {
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
    socket.once("end", () => resolve(`${heard}, end`));
  });
  if (ending === "half-close") socket.end();
  else if (ending === "reset by visitor") {
    socket.resetAndDestroy();
    return "gone";
  } else socket.write("go");
  const what = await closed;
  if (ending === "origin first") socket.end();
  if (!socket.closed) await once(socket, "close");
  return what;
}

const ownView: Readonly<Record<Ending, string>> = {
  "half-close": "bye, end",
  "reset by visitor": "gone",
  "reset by origin": "ECONNRESET",
  "origin first": "bye, end",
};
const originView: Readonly<Record<Ending, string>> = {
  "half-close": "end",
  "reset by visitor": "ECONNRESET",
  "reset by origin": "gone",
  "origin first": "end",
};
/** Of the agent's event. */
const agentView: Readonly<Record<Ending, string>> = {
  "half-close": "closed",
  "reset by visitor": "reset cancelled",
  "reset by origin": "reset origin-closed",
  "origin first": "closed",
};

const endingOf = (number: number): Ending => endings[number % endings.length] ?? "half-close";

async function wave(): Promise<void> {
  seen.clear();
  seeing = Promise.withResolvers();
  const { mark } = agent;
  const visitors: Socket[] = [];
  let next = 0;
  const openedAtMs = performance.now();
  await Promise.all(
    Array.from({ length: doorWidth }, async () => {
      for (let number = next++; number < visitorCount; number = next++)
        visitors[number] = await open(number, endingOf(number));
    }),
  );
  opened.push(rate(openedAtMs));
  expect(await openStreams()).toBe(visitorCount);

  const endedAtMs = performance.now();
  const saw = await within(
    Promise.all(visitors.map((socket, number) => finish(socket, endingOf(number)))),
    waveLimitMs,
    () => `${visitorCount} ends; the origin saw ${seen.size}`,
  );
  await within(
    seeing.promise,
    settleLimitMs,
    () => `${visitorCount} ends at the origin, which saw ${seen.size}`,
  );
  ended.push(rate(endedAtMs));
  const streams = () => agent.events.slice(mark).filter(({ event }) => event === "stream");
  await agent.event("stream", () => streams().length === visitorCount, mark);
  expect(tally(saw)).toEqual(expected(ownView));
  expect(tally(visitors.map((_, number) => seen.get(number) ?? "nothing"))).toEqual(expected(originView));
  const told = streams().map(({ end, code }) => (code === undefined ? String(end) : `${end} ${code}`));
  expect(Object.fromEntries(count(told))).toEqual(
    Object.fromEntries(count(Object.values(agentView), visitorCount / 4)),
  );
  agent.events.length = 0;
}

const rate = (sinceMs: number) => Math.round(visitorCount / ((performance.now() - sinceMs) / 1000));

/** What was seen how often, by how it was to end. */
function tally(views: readonly string[]): Record<string, Record<string, number>> {
  const groups = endings.map((ending): [Ending, Record<string, number>] => {
    const own = views.filter((_, number) => endingOf(number) === ending);
    return [ending, Object.fromEntries(count(own))];
  });
  return Object.fromEntries(groups);
}

const expected = (views: Readonly<Record<Ending, string>>) =>
  Object.fromEntries(endings.map((ending) => [ending, { [views[ending]]: visitorCount / endings.length }]));

function count(views: readonly string[], each = 1): Map<string, number> {
  const counts = new Map<string, number>();
  for (const view of views) counts.set(view, (counts.get(view) ?? 0) + each);
  return counts;
}

async function openStreams(): Promise<number> {
  // A socket that is kept would count among the relay's descriptors.
  const metrics = await (await fetch(`${relay.url}/metrics`, { keepalive: false })).text();
  return Number(/^underpass_streams_open (\d+)$/m.exec(metrics)?.[1]);
}

/** A figure of each side. */
interface Sides {
  readonly relay: number;
  readonly agent: number;
}

const lowest = (sides: readonly Sides[]): Sides => ({
  relay: Math.min(...sides.map(({ relay }) => relay)),
  agent: Math.min(...sides.map(({ agent }) => agent)),
});

/** Open files, of which nearly all are sockets. */
async function descriptors(): Promise<Sides> {
  const of = async (pid: number) => (await readdir(`/proc/${pid}/fd`)).length;
  return { relay: await of(relay.pid ?? 0), agent: await of(agent.pid) };
}

test.skipIf(relayRuntime === "workerd")(
  "5,000 visitors open at once and ended at once, in four ways: none is stuck, nothing is left",
  async () => {
    const before = await descriptors();
    figures.note("descriptors before", before);
    const memory: Sides[] = [];
    for (let number = 1; number <= waves; number++) {
      await wave();
      expect(await openStreams()).toBe(0);
      expect(await rest(before)).toEqual(before);
      const [relayMiB, agentMiB] = [await residentMiB(relay.pid ?? 0), await residentMiB(agent.pid)];
      memory.push({ relay: relayMiB.now, agent: agentMiB.now });
    }
    figures.note("visitors opened a second, in each wave", opened);
    figures.note("visitors ended a second, in each wave", ended);
    figures.note("MiB after each wave", memory);
    const middle = (warmUpWaves + waves) / 2;
    const [early, late] = [lowest(memory.slice(warmUpWaves, middle)), lowest(memory.slice(middle))];
    expect(late.relay).toBeLessThanOrEqual(early.relay * maxGrowth);
    expect(late.agent).toBeLessThanOrEqual(early.agent * maxGrowth);
  },
  testLimitMs,
);

/** The descriptors once they are as `before`, or in the end: the last closes are on their way for a moment, a leak stays. */
async function rest(before: Sides): Promise<Sides> {
  const deadlineMs = performance.now() + settleLimitMs;
  for (;;) {
    const now = await descriptors();
    const isBack = now.relay === before.relay && now.agent === before.agent;
    if (isBack || performance.now() > deadlineMs) return now;
    await Bun.sleep(50);
  }
}
