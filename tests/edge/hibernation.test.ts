import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { agentProgram } from "../blackbox/programs/agent.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { visit } from "../blackbox/raw/visitor.ts";
import { ByteEcho, sayAll } from "./byte-echo.ts";
import { record } from "./figures.ts";
import { HandAgent } from "./hand-agent.ts";
import { startWorkerdRelay, type WorkerdRelay } from "./workerd-relay.ts";
import { workersDate } from "./workers-date.ts";

const testLimitMs = 60_000;
const { links } = workersDate();
/** No stream has this kind: a way to ask a relay for something that it has to count, and to answer. */
const noKind = 77;

let relay: WorkerdRelay;
let token: string;

beforeAll(async () => {
  relay = await startWorkerdRelay({ counted: true });
  token = await relay.token();
}, testLimitMs);
afterAll(() => relay?.stop());

/** Ends the object as soon as nothing is under way there. */
async function evictAtRest(name: string): Promise<void> {
  await relay.workerd.rest(name);
  await relay.workerd.evict(name);
}

/** The session is the one that it was: its counts and ids go on where they stood after `asked - 1` of these. */
async function goesOn(agent: HandAgent, asked: number): Promise<void> {
  const stream = 2 * asked - 1;
  await agent.say({ record: "OPEN", stream, kind: noKind, head: "" });
  expect(await agent.records()).toEqual([
    { record: "ACK", count: asked },
    { record: "RESET", stream, code: "kind-unknown" },
  ]);
  await agent.say({ record: "ACK", count: asked });
}

function linkEvents(agent: Program): string[] {
  const events = agent.events.filter(({ event }) => event === "link");
  return events.map(({ link, state }) => `${link} ${state}`).sort();
}

const allUpEvents = Array.from({ length: links }, (_, link) => `${link} up`);

async function allUp(agent: Program): Promise<void> {
  await agent.event("link", ({ link, state }) => link === links - 1 && state === "up");
}

describe("an object that ends while nothing goes on", () => {
  test("goes on where it was when the next request comes", async () => {
    const origin = await RawOrigin.listen(answerOk);
    const args = ["--links", String(links)];
    const agent = await startAgent(relay, { origin: origin.port, name: "blue", token, args });
    const target = { port: relay.port, host: relay.hostFor("blue") };
    await allUp(agent);
    const rounds = 5;
    for (let round = 1; round <= rounds; round++) {
      await evictAtRest("blue");
      expect((await visit(target)).status).toBe(200);
    }
    const { constructed, fetches } = await relay.workerd.counts("blue");
    // The dials, and one for each request: none came a second time.
    expect([constructed, fetches]).toEqual([1 + rounds, links + rounds]);
    record("constructorRuns", { [`${rounds} evictions, each before a request`]: constructed - 1 });
    expect(relay.workerd.awakenings("blue").slice(1)).toEqual(
      Array(rounds).fill(expect.objectContaining({ sessions: links, links, gone: 0 })),
    );
    expect(linkEvents(agent)).toEqual(allUpEvents);
    await agent.stop();
    await origin.close();
  });

  test("goes on where it was for those that connect to a private tunnel", async () => {
    const echo = await ByteEcho.listen();
    const start = (args: readonly string[], own: string) =>
      agentProgram([...args, "--relay", relay.url, "--links", String(links), "--json"], {
        env: { UNDERPASS_TOKEN: own },
      });
    const vault = start(["private", String(echo.port), "--name", "vault"], token);
    await allUp(vault);
    const caller = start(
      ["connect", "vault", "--listen", "127.0.0.1:0"],
      await relay.token({ sub: "bob", connect: ["vault"] }),
    );
    const port = Number(new URL(String((await caller.event("ready"))["url"])).port);
    await allUp(caller);
    for (let round = 0; round < 3; round++) {
      await evictAtRest("vault");
      expect((await sayAll(port, Buffer.from("are you there"))).toString()).toBe("are you there");
    }
    expect((await relay.workerd.counts("vault")).constructed).toBe(4);
    for (const program of [vault, caller]) {
      expect(linkEvents(program)).toEqual(allUpEvents);
      await program.stop();
    }
    echo.close();
  });

  test("is not begun anew by pings: each has its pong", async () => {
    const { agent } = await HandAgent.join(relay, { name: "pinged", token });
    await goesOn(agent, 1);
    await evictAtRest("pinged");
    const before = await relay.workerd.counts("pinged");
    const pings = 200;
    for (let i = 0; i < pings; i++) await agent.ping();
    for (let i = 0; i < pings; i++) await agent.pong();
    const after = await relay.workerd.counts("pinged");
    record("wakeUps", { [`${pings} pings`]: after.constructed - before.constructed });
    expect(after).toEqual(before);
    await goesOn(agent, 2);
    const { constructed } = await relay.workerd.counts("pinged");
    expect(constructed).toBe(before.constructed + 1);
    agent.close();
  });

  test("answers pings itself while a stream is open, so that its end would be noticed", async () => {
    const { agent } = await HandAgent.join(relay, { name: "streamed", token });
    const { messages } = await relay.workerd.rest("streamed");
    const answer = visit({ port: relay.port, host: relay.hostFor("streamed") });
    const [opened] = await agent.records();
    expect(opened).toMatchObject({ record: "OPEN", stream: 2 });
    for (let i = 0; i < 3; i++) await agent.ping();
    for (let i = 0; i < 3; i++) await agent.pong();
    expect((await relay.workerd.counts("streamed")).messages).toBe(messages + 3);
    await agent.say({ record: "RESET", stream: 2, code: "origin-refused" });
    expect((await answer).status).toBe(502);
    agent.close();
  });

  test(
    "goes on for each of 100 idle agents with two sessions, from one beginning",
    async () => {
      const name = "crowd";
      const agents: HandAgent[] = [];
      for (let i = 0; i < 200; i++) {
        const greeting = { instance: `crowd-of-agents-${i >> 1}`, slot: i & 1, join: true };
        agents.push((await HandAgent.join(relay, { name, token }, greeting)).agent);
      }
      await evictAtRest(name);
      const before = await relay.workerd.counts(name);
      await Promise.all(agents.map((agent) => agent.ping()));
      await Promise.all(agents.map((agent) => agent.pong()));
      expect(await relay.workerd.counts(name)).toEqual(before);
      for (const asked of [1, 2]) {
        await Promise.all(agents.map((agent) => goesOn(agent, asked)));
        await evictAtRest(name);
      }
      const { constructed } = await relay.workerd.counts(name);
      expect(constructed).toBe(before.constructed + 2);
      record("constructorRuns", {
        "2 evictions, each before messages of 100 agents": constructed - before.constructed,
      });
      for (const event of relay.workerd.awakenings(name).slice(-2))
        expect(event).toMatchObject({ sessions: 200, links: 200, gone: 0 });
      for (const agent of agents) agent.close();
    },
    testLimitMs,
  );
});

describe("a session without a link", () => {
  /** Cuts the link of a session; resolves when the relay has noticed, and keeps the session in its storage. */
  async function cut(agent: HandAgent, name: string): Promise<void> {
    const { rowsWritten } = await relay.workerd.counts(name);
    agent.cut();
    while ((await relay.workerd.counts(name)).rowsWritten === rowsWritten);
  }

  async function resumes(
    name: string,
    session: Parameters<HandAgent["greet"]>[0]["resume"],
    attempt: number,
  ) {
    const options = { name, token, ...(session && { session: session.id }) };
    const resumed = await HandAgent.dial(relay, options);
    const welcome = await resumed.greet({ attempt, ...(session && { resume: session }) });
    return { resumed, welcome };
  }

  test("is resumed when the object has begun anew since", async () => {
    const name = "cut-first";
    const { agent, welcome } = await HandAgent.join(relay, { name, token });
    await goesOn(agent, 1);
    await relay.workerd.rest(name);
    await cut(agent, name);
    await evictAtRest(name);
    const session = { id: welcome.session, secret: welcome.secret ?? "", received: 1 };
    const { resumed, welcome: again } = await resumes(name, session, 2);
    expect(again).toMatchObject({ session: session.id, resumed: true, first: 2, received: 1 });
    await goesOn(resumed, 2);
    await evictAtRest(name);
    await goesOn(resumed, 3);
    resumed.close();
  });

  test("is resumed when its link was cut while the object slept", async () => {
    const name = "slept-first";
    const { agent, welcome } = await HandAgent.join(relay, { name, token });
    await goesOn(agent, 1);
    await evictAtRest(name);
    await cut(agent, name);
    await evictAtRest(name);
    const session = { id: welcome.session, secret: welcome.secret ?? "", received: 1 };
    const { resumed, welcome: again } = await resumes(name, session, 2);
    expect(again).toMatchObject({ session: session.id, resumed: true, first: 2, received: 1 });
    await goesOn(resumed, 2);
    resumed.close();
  });

  test("is resumed while the object knows nothing of the cut, and the old link is nothing any more", async () => {
    const name = "never-noticed";
    const { agent, welcome } = await HandAgent.join(relay, { name, token });
    await goesOn(agent, 1);
    await evictAtRest(name);
    const session = { id: welcome.session, secret: welcome.secret ?? "", received: 1 };
    const { resumed, welcome: again } = await resumes(name, session, 2);
    expect(again).toMatchObject({ session: session.id, resumed: true });
    await agent.closed();
    await evictAtRest(name);
    await goesOn(resumed, 2);
    expect(relay.workerd.awakenings(name).at(-1)).toMatchObject({ sessions: 1, gone: 0 });
    resumed.close();
  });
});

describe("an object that ends while an agent shakes hands", () => {
  const gone = { record: "GOAWAY", kind: "error", code: "session-gone" };

  test("closes a link on which no HELLO has come, and says nothing of any session", async () => {
    const agent = await HandAgent.dial(relay, { name: "early", token });
    expect((await relay.workerd.counts("early")).resting).toBe(false);
    await relay.workerd.evictBusy("early");
    await agent.ping();
    expect(await agent.closed()).toBe(1011);
    const { agent: next } = await HandAgent.join(relay, { name: "early", token });
    await goesOn(next, 1);
    next.close();
  });

  test("says that the session is gone as long as nothing shows that WELCOME was read", async () => {
    const agent = await HandAgent.dial(relay, { name: "unread", token });
    const { session } = await agent.greet({});
    expect((await relay.workerd.counts("unread")).resting).toBe(false);
    await relay.workerd.evictBusy("unread");
    await agent.ping();
    expect(await agent.records()).toEqual([expect.objectContaining(gone)]);
    const { agent: next, welcome } = await HandAgent.join(relay, { name: "unread", token }, { attempt: 2 });
    expect(welcome.session).not.toBe(session);
    await goesOn(next, 1);
    next.close();
  });
});

test("a newer agent takes over from those that slept, and the object stays awake as long as they must not come back", async () => {
  const name = "taken";
  const older: Awaited<ReturnType<typeof HandAgent.join>>[] = [];
  for (const instance of ["older-instance-one", "older-instance-two"])
    older.push(await HandAgent.join(relay, { name, token }, { instance, join: true }));
  await evictAtRest(name);
  const { agent: newer, welcome } = await HandAgent.join(
    relay,
    { name, token },
    { instance: "newer-instance-one" },
  );
  for (const { agent, welcome: before } of older) {
    expect(welcome.generation).toBeGreaterThan(before.generation);
    expect(await agent.records()).toEqual([
      expect.objectContaining({ record: "GOAWAY", kind: "drain", code: "superseded" }),
    ]);
    agent.cut();
  }
  const late = HandAgent.join(relay, { name, token }, { instance: "older-instance-one", attempt: 2 });
  await expect(late).rejects.toThrow("goaway");
  await goesOn(newer, 1);
  expect((await relay.workerd.counts(name)).resting).toBe(false);
  newer.close();
});
