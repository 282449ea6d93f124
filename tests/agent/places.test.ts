import { expect, test } from "bun:test";
import { encodeHead } from "../../shared/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { delayMs, FakeRelay, passes, setUp, silent } from "./agent-bench.ts";
import { ClusterBench, urlOf } from "./cluster-bench.ts";
import { VirtualClock } from "./virtual-clock.ts";

const get = encodeHead({ http: encodeLatin1("GET / HTTP/1.1\r\nHost: h\r\n") });

/** An agent with a link to each of a and b, out of a, b and c. */
async function spread() {
  const cluster = new ClusterBench("abc", "a");
  const { driver } = await cluster.answers("a");
  await cluster.answers("b");
  await cluster.bench.event({ event: "link", link: 1, state: "up" });
  return { cluster, driver, ...cluster };
}

test("slots go to different relays, in the order in which WELCOME names them, and then round", async () => {
  const cluster = new ClusterBench("abc", "a", { links: 5 });
  const slots = [];
  for (const name of "abcab") {
    const { hello } = await cluster.answers(name);
    slots.push(`${name}${hello.slot}`);
  }
  expect(slots).toEqual(["a0", "b1", "c2", "a3", "b4"]);
  await cluster.bench.event({ event: "link", link: 4, state: "up" });
  expect(cluster.dials).toBe("a2 b2 c1");
  const ups = cluster.bench.events.flatMap((event) => (event.event === "link" ? event.relay : []));
  expect(ups).toEqual([..."abcab"].map(urlOf));
});

test("where there is one relay all links go there, the others once the first has its WELCOME, and events name none", async () => {
  const cluster = new ClusterBench("a", "a", { links: 3 });
  const first = await cluster.at("a").next();
  expect(cluster.dials).toBe("a1");
  first.welcome();
  await cluster.answers("a");
  await cluster.answers("a");
  await cluster.bench.event({ event: "link", link: 2, state: "up" });
  expect(cluster.dials).toBe("a3");
  for (const event of cluster.bench.events) expect(event).not.toHaveProperty("relay");
});

test("the other slots don't wait for a first dial that has failed, nor for long for one that is silent", async () => {
  const failed = new ClusterBench("a", "a");
  failed.at("a").refuse.push("relay-unreachable");
  await failed.bench.event({ event: "link", link: 0, state: "lost" });
  expect((await failed.at("a").next()).hello.slot).toBe(1);
  const silentOne = new ClusterBench("a", "a");
  await silentOne.at("a").next();
  await passes(silentOne.clock, 900);
  expect(silentOne.dials).toBe("a1");
  await passes(silentOne.clock, 100);
  expect((await silentOne.at("a").next()).hello.slot).toBe(1);
});

test("an agent that was given several begins at the first that answers, for its name too", async () => {
  const cluster = new ClusterBench("ab", "ab", { kind: "tcp" });
  cluster.kill("a");
  const before = await cluster.bench.event({ event: "link", state: "lost" });
  expect(before).toMatchObject({ relay: urlOf("a") });
  cluster.clock.advance(delayMs);
  const first = await cluster.answers("b");
  expect([first.name, first.hello.slot]).toEqual(["blue", 0]);
  expect(await cluster.bench.event({ event: "ready" })).toMatchObject({ name: "blue" });
});

test("a lost link is dialled again where it was, then elsewhere; the session goes on there", async () => {
  const { cluster, bench, clock } = await spread();
  cluster.kill("a");
  await bench.event({ event: "link", link: 0, state: "lost" });
  clock.advance(delayMs);
  await bench.event({ event: "link", link: 0, state: "lost" });
  expect(cluster.dials).toBe("a2 b1 c0");
  clock.advance(delayMs);
  // Nobody else of this agent is at c.
  const again = await cluster.answers("c");
  expect(again).toMatchObject({ session: "s0", hello: { slot: 0, resume: { session: "s0" } } });
  const up = await bench.event({ event: "link", link: 0, state: "up" });
  expect(up).toMatchObject({ relay: urlOf("c") });
  expect(bench.events.filter(({ event }) => event === "ready")).toHaveLength(1);
});

test("a relay that is killed costs an agent of one link less than 3 s, though no other knows yet that it is dead", async () => {
  const cluster = new ClusterBench("abc", "a", { links: 1 });
  const { bench, clock } = cluster;
  const { driver } = await cluster.answers("a");
  await bench.event({ event: "ready" });
  // What is open is not given up: the relay may live.
  driver.session.open(1, get, silent);
  await passes(clock, 500);
  const killedMs = clock.now();
  for (const name of "bc") cluster.at(name).refuse.push("session-elsewhere");
  cluster.kill("a");
  const answered = (async () => {
    const dialled = await Promise.race([cluster.at("b").next(), cluster.at("c").next()]);
    dialled.welcome();
    return dialled;
  })();
  await passes(clock, 1_000);
  expect((await answered).hello.resume).toBeUndefined();
  await bench.event({ event: "ready" });
  expect(clock.now() - killedMs).toBeLessThan(3_000);
  expect(bench.streams[0]?.closed).toBe(false);
  await passes(clock, 60_000);
  expect(bench.streams[0]?.closed).toBe(true);
});

test("a relay that drains is not dialled again first", async () => {
  const { cluster, driver, bench, clock } = await spread();
  driver.session.goaway("drain", "going-away", 30_000, "");
  await bench.event({ event: "link", link: 0, state: "lost" });
  clock.advance(delayMs);
  const moved = await cluster.answers("c");
  expect([moved.hello.slot, moved.session]).toEqual([0, undefined]);
  expect(cluster.dials).toBe("a1 b1 c1");
});

test("what a named relay refuses for good is no end: it is left out until it is named again", async () => {
  const cluster = new ClusterBench("ab", "a");
  const { bench, clock } = cluster;
  cluster.at("b").refuse.push("unauthorized");
  await cluster.answers("a");
  expect(await bench.event({ event: "link", link: 1, state: "lost" })).toMatchObject({ attempt: 1 });
  clock.advance(delayMs);
  const back = await cluster.answers("a");
  expect(back.hello.slot).toBe(1);
  expect(bench.events.filter(({ event }) => event === "error")).toEqual([]);
  // The given relay's word counts.
  const ended = new ClusterBench("ab", "a");
  await ended.answers("a");
  ended.at("a").refuse.push("unauthorized");
  ended.at("b").refuse.push("unauthorized");
  await ended.bench.event({ event: "link", link: 1, state: "lost" });
  ended.clock.advance(delayMs);
  expect((await ended.bench.agent.ended)?.code).toBe("unauthorized");
});

test("a newer instance ends the agent, whichever relay says so", async () => {
  const cluster = new ClusterBench("ab", "a");
  cluster.at("b").refuse.push("superseded");
  await cluster.answers("a");
  expect((await cluster.bench.agent.ended)?.code).toBe("superseded");
});

test.each([
  ["https://a.example", false, "http://b.example", false],
  ["https://a.example", true, "http://b.example", false],
  ["http://a.example", true, "http://b.example", true],
  ["http://127.0.0.1:1", false, "http://b.example", false],
  ["http://127.0.0.1:1", false, "http://127.0.0.1:2", true],
  ["https://a.example", false, "https://b.example", true],
  ["https://a.example", false, "https://me:pass@b.example", false],
  ["https://a.example", false, "ftp://b.example", false],
])(
  "given %s (insecure: %p), the named relay %s is dialled: %p",
  async (given, insecure, named, isDialled) => {
    const dialled: string[] = [];
    const clock = new VirtualClock();
    const relay = new FakeRelay(clock);
    relay.relays = [named];
    setUp({
      ...{ name: "blue", links: 2, clock, relays: [new URL(given)], insecure },
      door: ({ href }) => {
        dialled.push(href);
        return relay;
      },
    });
    (await relay.next()).welcome();
    (await relay.next()).welcome();
    expect(dialled).toEqual([new URL(given).href, ...(isDialled ? [new URL(named).href] : [])]);
  },
);
