import { expect, test } from "bun:test";
import { encodeHead } from "../../shared/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { streamKinds } from "../../shared/kind.ts";
import { slowDoubt } from "../../shared/mux/frame.ts";
import type { Stream } from "../../shared/mux/stream.ts";
import { delayMs, passes, setUp, silent } from "./agent-bench.ts";

test("an agent without a name asks for one, and keeps it when it dials again", async () => {
  const { relay, clock, events, event } = setUp();
  const first = await relay.next();
  expect(first).toMatchObject({ name: "blue", token: "token", hello: { slot: 0, received: 0 } });
  first.welcome();
  await event({ event: "ready" });
  first.link.destroy();
  await event({ event: "link", state: "lost" });
  clock.advance(delayMs);
  const second = await relay.next();
  expect(second.name).toBe("blue");
  expect(second.hello.instance).toBe(first.hello.instance);
  second.welcome();
  await event({ event: "ready" });
  expect(events).toEqual([
    { event: "link", link: 0, state: "up", attempt: 0, delayMs: 0 },
    {
      event: "ready",
      name: "blue",
      kind: "http",
      url: "http://blue.localhost",
      urls: ["http://blue.localhost"],
      resumed: false,
    },
    { event: "link", link: 0, state: "lost", attempt: 1, delayMs },
    { event: "error", code: "link-lost", message: expect.any(String), fatal: false },
    { event: "link", link: 0, state: "up", attempt: 0, delayMs: 0 },
    {
      event: "ready",
      name: "blue",
      kind: "http",
      url: "http://blue.localhost",
      urls: ["http://blue.localhost"],
      resumed: false,
    },
  ]);
});

test("a first dial that fails is told and tried again, with and without a name", async () => {
  for (const name of ["blue", undefined]) {
    const { relay, clock, event, events } = setUp(name === undefined ? {} : { name });
    relay.refuse.push("relay-unreachable");
    const lost = await event({ event: "link", state: "lost" });
    expect(lost).toMatchObject({ attempt: 1, delayMs });
    expect(await event({ event: "error" })).toMatchObject({ code: "relay-unreachable", fatal: false });
    clock.advance(delayMs);
    (await relay.next()).welcome();
    await event({ event: "ready" });
    expect(events.filter(({ event: kind }) => kind === "error")).toHaveLength(1);
  }
});

test.each(["unauthorized", "name-forbidden", "name-taken", "not-a-relay"] as const)(
  "%s ends the agent",
  async (code) => {
    const { relay, agent, events } = setUp({ name: "blue" });
    relay.refuse.push(code);
    expect((await agent.ended)?.code).toBe(code);
    expect(events.at(-1)).toMatchObject({ event: "error", code, fatal: true });
    expect(relay.dials).toBe(1);
  },
);

test("under --no-reconnect a failed dial ends the agent, and so does a lost link", async () => {
  const refused = setUp({ name: "blue", reconnect: false });
  refused.relay.refuse.push("relay-unreachable");
  expect((await refused.agent.ended)?.code).toBe("relay-unreachable");

  const lost = setUp({ name: "blue", reconnect: false });
  const dialled = await lost.relay.next();
  dialled.welcome();
  await lost.event({ event: "ready" });
  dialled.link.destroy();
  expect((await lost.agent.ended)?.code).toBe("link-lost");
});

test("a relay that says neither WELCOME nor anything else is given up after 10 s", async () => {
  const { relay, clock, event } = setUp({ name: "blue" });
  await relay.next();
  clock.advance(10_000);
  expect(await event({ event: "error" })).toMatchObject({ code: "handshake-timeout", fatal: false });
  clock.advance(delayMs);
  await relay.next();
});

test("a drain moves the agent to a new session while open streams finish on the old one", async () => {
  const { relay, clock, event, streams } = setUp({ name: "blue" });
  const old = (await relay.next()).welcome();
  await event({ event: "ready" });
  const opened = old.session.open(
    1,
    encodeHead({ http: encodeLatin1("GET / HTTP/1.1\r\nHost: h\r\n") }),
    silent,
  );
  await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
  expect(streams).toHaveLength(1);
  old.session.goaway("drain", "going-away", 30_000, "");
  await event({ event: "link", state: "lost" });
  clock.advance(delayMs);
  (await relay.next()).welcome();
  await event({ event: "ready" });
  expect(opened?.closed).toBe(false);
  await passes(clock, 29_000 - delayMs);
  expect(streams[0]?.closed).toBe(false);
  await passes(clock, 1_000 + delayMs);
  expect(streams[0]?.closed).toBe(true);
});

test("an agent that was replaced ends, and is told why", async () => {
  const { relay, agent, event } = setUp({ name: "blue" });
  const driver = (await relay.next()).welcome();
  await event({ event: "ready" });
  driver.session.goaway("error", "superseded", 0, "");
  expect((await agent.ended)?.code).toBe("superseded");
});

test("an expired token is read again; the agent ends only when it is still the same", async () => {
  let token = "old";
  const { relay, clock, agent, event } = setUp({ name: "blue", token: async () => token });
  const first = await relay.next();
  expect(first.token).toBe("old");
  const driver = first.welcome();
  await event({ event: "ready" });
  token = "new";
  driver.session.goaway("error", "token-expired", 0, "");
  await event({ event: "link", state: "lost" });
  clock.advance(delayMs);
  const second = await relay.next();
  expect(second.token).toBe("new");
  const renewed = second.welcome();
  await event({ event: "ready" });
  renewed.session.goaway("error", "token-expired", 0, "");
  await event({ event: "link", state: "lost" });
  clock.advance(delayMs);
  expect((await agent.ended)?.code).toBe("token-expired");
});

test("two links are two sessions in two slots; ready is said once, and again only after both were lost", async () => {
  const { relay, clock, event, events } = setUp({ name: "blue", links: 2 });
  const one = await relay.next();
  one.welcome();
  const two = await relay.next();
  two.welcome();
  expect([one.hello.slot, two.hello.slot]).toEqual([0, 1]);
  await event({ event: "link", link: 1, state: "up" });
  one.link.destroy();
  await event({ event: "link", link: 0, state: "lost" });
  clock.advance(delayMs);
  const again = await relay.next();
  again.welcome();
  await event({ event: "link", link: 0, state: "up" });
  const readies = (): number => events.filter(({ event: kind }) => kind === "ready").length;
  expect(readies()).toBe(1);
  two.link.destroy();
  again.link.destroy();
  await event({ event: "link", link: 1, state: "lost" });
  await event({ event: "link", link: 0, state: "lost" });
  clock.advance(delayMs);
  (await relay.next()).welcome();
  await event({ event: "ready" });
  expect(readies()).toBe(2);
});

test("a link that is lost and resumed is told, with streams that notice nothing; the other link's loss is no news", async () => {
  const { relay, clock, event, events, streams } = setUp({ name: "blue", links: 2 });
  const one = await relay.next();
  const driver = one.welcome();
  const two = await relay.next();
  two.welcome();
  await event({ event: "link", link: 1, state: "up" });
  driver.session.open(1, encodeHead({ http: encodeLatin1("GET / HTTP/1.1\r\nHost: h\r\n") }), silent);
  await passes(clock, 500);
  expect(streams).toHaveLength(1);
  one.link.destroy();
  await event({ event: "link", link: 0, state: "lost" });
  clock.advance(delayMs);
  const again = await relay.next();
  expect(again).toMatchObject({ session: "s0", hello: { slot: 0, received: 1, resume: { session: "s0" } } });
  again.resume();
  await event({ event: "link", link: 0, state: "up" });
  expect(events.filter(({ event: kind }) => kind === "ready" || kind === "error")).toHaveLength(1);
  // All links at once: the agent is not ready, and is again.
  again.link.destroy();
  two.link.destroy();
  await event({ event: "error", code: "link-lost", fatal: false });
  clock.advance(delayMs);
  const back = [await relay.next(), await relay.next()];
  expect(back.map(({ session }) => session).sort()).toEqual(["s0", "s1"]);
  for (const dialled of back) dialled.resume();
  expect(await event({ event: "ready" })).toMatchObject({ name: "blue", resumed: true });
  expect(streams[0]?.closed).toBe(false);
});

test("a suspect link is told, and a doubt of the relay's has the link in that slot asked", async () => {
  const { relay, clock, event } = setUp({ name: "blue", links: 2 });
  const one = await relay.next();
  const driver = one.welcome();
  const two = await relay.next();
  two.welcome();
  await event({ event: "link", link: 1, state: "up" });
  await passes(clock, 500);
  // Nothing that comes on the second link gets through from now on, and nothing is answered there.
  two.link.handler = { heard() {}, message() {}, text() {}, drained() {}, closed() {} };
  driver.session.doubt(1);
  await passes(clock, 1_000);
  expect(await event({ event: "link", state: "suspect" })).toMatchObject({ link: 1 });
  const parallel = await relay.next();
  expect(parallel).toMatchObject({ session: "s1", hello: { slot: 1 } });
  parallel.resume();
  expect(await event({ event: "link", state: "up" })).toMatchObject({ link: 1 });
});

test("a link that the relay finds slow is renewed, and nobody is told", async () => {
  const { relay, clock, event } = setUp({ name: "blue", links: 2 });
  const driver = (await relay.next()).welcome();
  (await relay.next()).welcome();
  await event({ event: "link", link: 1, state: "up" });
  driver.session.doubt(1 + slowDoubt);
  await passes(clock, 100);
  const parallel = await relay.next();
  expect(parallel).toMatchObject({ session: "s1", hello: { slot: 1 } });
});

test("stop says goodbye, waits for open streams no longer than the grace, and ends without a reason", async () => {
  const { relay, clock, agent, event, streams } = setUp({ name: "blue" });
  const driver = (await relay.next()).welcome();
  await event({ event: "ready" });
  driver.session.open(1, encodeHead({ http: encodeLatin1("GET / HTTP/1.1\r\nHost: h\r\n") }), silent);
  await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
  expect(agent.openStreams).toBe(1);
  const stopped = agent.stop(5_000);
  await passes(clock, 4_000);
  expect(streams[0]?.closed).toBe(false);
  await passes(clock, 1_000);
  await stopped;
  expect(streams[0]?.closed).toBe(true);
  expect(await agent.ended).toBeUndefined();
});

test.each([false, true])(
  "streams that are not its tunnel's are refused (--allow-egress: %p)",
  (offersEgress) => {
    const { agent, streams } = setUp({ kind: "private", offersEgress });
    const outcome = (kind: number, target?: string): string => {
      const resets: string[] = [];
      const stream = { kind, handler: silent, reset: (code: string) => void resets.push(code) };
      const before = streams.length;
      agent.opened(stream as unknown as Stream, encodeHead(target === undefined ? {} : { target }));
      return streams.length > before ? "served" : resets.join();
    };
    const { http, tcp, udp } = streamKinds;
    expect([outcome(tcp), outcome(http), outcome(udp)]).toEqual(["served", "kind-unknown", "kind-unknown"]);
    const denied = offersEgress ? "served" : "egress-denied";
    expect([outcome(tcp, "a:1"), outcome(udp, "a:1")]).toEqual([denied, denied]);
  },
);
