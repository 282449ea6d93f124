import { expect, test } from "bun:test";
import { Agent, type AgentSettings, type RelayDoor } from "../../agent/agent.ts";
import type { AgentEvent } from "../../agent/events.ts";
import type { Clock } from "../../shared/clock.ts";
import { Driver } from "../../shared/driver.ts";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import { type Hello, readHello, writeWelcome } from "../../shared/handshake.ts";
import { encodeHead } from "../../shared/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import type { Link } from "../../shared/link.ts";
import { memoryLinks } from "../../shared/links/memory.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { VirtualClock } from "./virtual-clock.ts";

const silent: StreamHandler = { head() {}, data() {}, end() {}, left() {}, reset() {}, writable() {} };

/** A link as the relay got it, with the agent's HELLO. */
interface Dialled {
  readonly name: string;
  /** The session to resume, by the dial's path. */
  readonly session: string | undefined;
  readonly token: string | undefined;
  readonly hello: Hello;
  readonly link: Link;
  /** Says WELCOME and runs a session. */
  welcome(): Driver;
}

/** Answers dials in the order in which they come: with `refuse`, else with a link. */
class FakeRelay implements RelayDoor {
  readonly refuse: Code[] = [];
  readonly names: string[] = ["blue"];
  dials = 0;
  readonly #clock: Clock;
  readonly #dialled: Dialled[] = [];
  readonly #waiting: ((dialled: Dialled) => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  openLink(
    name: string,
    session: string | undefined,
    token: string | undefined,
    done: (result: Link | UnderpassError) => void,
  ): () => void {
    this.dials++;
    const code = this.refuse.shift();
    this.#clock.soon(() => {
      if (code !== undefined) {
        done(new UnderpassError(code));
        return;
      }
      const [near, far] = memoryLinks(this.#clock);
      far.handler = {
        heard() {},
        message: (bytes) => {
          const hello = readHello(bytes);
          if (hello.kind !== "ok") throw new Error("no HELLO");
          this.#arrived({
            name,
            session,
            token,
            hello: hello.value,
            link: far,
            welcome: () => this.#welcome(far, hello.value, name),
          });
        },
        text() {},
        drained() {},
        closed() {},
      };
      done(near);
    });
    return () => {};
  }

  requestName(_token: string | undefined, done: (result: string | UnderpassError) => void): () => void {
    const code = this.refuse.shift();
    this.#clock.soon(() =>
      done(code === undefined ? (this.names.shift() ?? "none") : new UnderpassError(code)),
    );
    return () => {};
  }

  next(): Promise<Dialled> {
    const dialled = this.#dialled.shift();
    return dialled === undefined
      ? new Promise((resolve) => this.#waiting.push(resolve))
      : Promise.resolve(dialled);
  }

  #arrived(dialled: Dialled): void {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#dialled.push(dialled);
    else waiter(dialled);
  }

  #welcome(link: Link, hello: Hello, name: string): Driver {
    link.send(
      writeWelcome({
        version: 1,
        features: [],
        session: "s",
        secret: "A".repeat(43),
        resumed: false,
        first: 1,
        received: 0,
        window: 131_072,
        streams: 16,
        generation: 1,
        resumeWindowMs: 60_000,
        urls: [`http://${name}.localhost`],
      }),
    );
    const session = new Session(
      {
        side: "relay",
        window: 131_072,
        peerWindow: hello.window,
        streams: 16,
        peerStreams: hello.streams,
        memory: new Memory(2 ** 26),
      },
      this.#clock.now(),
    );
    const handler = { opened: () => undefined, goaway() {}, linkState() {}, doubted() {}, over() {} };
    const driver = new Driver(session, this.#clock, handler, {
      pingsWhenIdle: false,
      resumeWindowMs: 60_000,
    });
    driver.link(link, () => {});
    return driver;
  }
}

interface Bench {
  readonly agent: Agent;
  readonly relay: FakeRelay;
  readonly clock: VirtualClock;
  readonly events: AgentEvent[];
  readonly streams: Stream[];
  /** Resolves with the next event that `fits`, also one of the past that was not asked for yet. */
  event(fits: Partial<AgentEvent>): Promise<AgentEvent>;
}

const delayMs = 100;

/** Lets the time run so slowly that links, drivers and promises keep up with it. */
async function passes(clock: VirtualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    clock.advance(Math.min(left, 100));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function setUp(more: Partial<AgentSettings> = {}): Bench {
  const clock = new VirtualClock();
  const relay = new FakeRelay(clock);
  const events: AgentEvent[] = [];
  const streams: Stream[] = [];
  let asked = 0;
  let look = (): void => {};
  const agent = new Agent({
    door: relay,
    clock,
    origin: {
      open(stream) {
        streams.push(stream);
        return silent;
      },
    },
    token: async () => "token",
    join: false,
    links: 1,
    reconnect: true,
    backoff: () => ({ next: () => delayMs, succeeded() {} }),
    instance: "i".repeat(32),
    version: "0.0.0",
    onEvent(event) {
      events.push(event);
      look();
    },
    ...more,
  });
  const event = (fits: Partial<AgentEvent>): Promise<AgentEvent> =>
    new Promise((resolve) => {
      look = () => {
        while (asked < events.length) {
          const candidate = events[asked++];
          if (candidate === undefined || !Bun.deepMatch(fits, candidate)) continue;
          look = () => {};
          resolve(candidate);
          return;
        }
      };
      look();
    });
  agent.start();
  return { agent, relay, clock, events, streams, event };
}

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
  const dialled = [await relay.next(), await relay.next()];
  expect(dialled.map(({ hello }) => hello.slot)).toEqual([0, 1]);
  for (const each of dialled) each.welcome();
  await event({ event: "link", link: 1, state: "up" });
  dialled[0]?.link.destroy();
  await event({ event: "link", link: 0, state: "lost" });
  clock.advance(delayMs);
  const again = await relay.next();
  again.welcome();
  await event({ event: "link", link: 0, state: "up" });
  const readies = (): number => events.filter(({ event: kind }) => kind === "ready").length;
  expect(readies()).toBe(1);
  dialled[1]?.link.destroy();
  again.link.destroy();
  await event({ event: "link", link: 1, state: "lost" });
  await event({ event: "link", link: 0, state: "lost" });
  clock.advance(delayMs);
  (await relay.next()).welcome();
  await event({ event: "ready" });
  expect(readies()).toBe(2);
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
