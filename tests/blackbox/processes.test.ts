import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ongoing } from "./ongoing.ts";
import { agentProgram } from "./programs/agent.ts";
import { type Limits, testExcept } from "./programs/except.ts";
import type { Program } from "./programs/program.ts";
import { isCluster, type Relay, startRelay } from "./programs/relay.ts";
import { Supervisor } from "./programs/supervisor.ts";
import { startAgent } from "./programs/tunnel.ts";
import { within } from "./programs/within.ts";
import { answerOk, RawOrigin } from "./raw/origin.ts";
import { Visitor, visit } from "./raw/visitor.ts";

const testLimitMs = 120_000;
const waitLimitMs = 30_000;
/** Long enough for the relay to find the agent's links dead. */
const stoppedMs = 6_000;
/** The bars of what is promised. */
const maxOriginCloseMs = 1_000;
/** Of a cluster's agent, which tries for its streams beside the new WELCOME, until the killed relay is known to be dead. */
const maxTriedForMs = 10_000;
const maxReplaceMs = 2_000;
const supersededExit = 6;

let data: string;
let origin: RawOrigin;
let relay: Relay;
let token: string;

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), "underpass-processes-"));
  origin = await RawOrigin.listen();
  relay = await startRelay({ data });
  token = await relay.token();
}, testLimitMs);
afterAll(async () => {
  await relay?.kill();
  await origin?.close();
  await rm(data, { recursive: true, force: true });
});
beforeEach(() => {
  origin.script = answerOk;
});

const target = (name: string) => ({ port: relay.port, host: relay.hostFor(name) });
const agentFor = (name: string, ...args: readonly string[]) =>
  startAgent(relay, { origin: origin.port, name, token, args });
const supervise = (name: string) =>
  new Supervisor(() =>
    agentProgram(["http", String(origin.port), "--relay", relay.url, "--name", name, "--json"], {
      env: { UNDERPASS_TOKEN: token },
    }),
  );
const nameErrors = (agent: Program) =>
  agent.events.filter(({ event, code }) => event === "error" && code !== "superseded");

describe("the agent's process", () => {
  test(
    "may stand still for 6 s: a download and a WebSocket go on, and who comes meanwhile is served",
    async () => {
      const agent = await agentFor("sleeper");
      using ongoing = await Ongoing.start(target("sleeper"), origin);
      await ongoing.moved();
      agent.signal("SIGSTOP");
      // The wait is the test.
      await Bun.sleep(stoppedMs / 2);
      const visited = visit(target("sleeper"));
      await Bun.sleep(stoppedMs / 2);
      agent.signal("SIGCONT");
      await ongoing.moved();
      expect((await within(visited, waitLimitMs, () => "the visitor that came meanwhile")).text).toBe("ok");
      const { sent, received, messages, outOfTurn } = await ongoing.finish();
      expect(received).toEqual(sent);
      expect(outOfTurn).toEqual([]);
      expect(messages).toBeGreaterThan(0);
      await agent.stop();
    },
    testLimitMs,
  );

  test(
    "is replaced within 2 s of kill -9, and the name is never in use",
    async () => {
      let agent = await agentFor("phoenix");
      for (let round = 0; round < 3; round++) {
        const killedAtMs = performance.now();
        await agent.kill();
        agent = await agentFor("phoenix");
        expect((await visit(target("phoenix"))).text).toBe("ok");
        expect(performance.now() - killedAtMs).toBeLessThan(maxReplaceMs);
        expect(nameErrors(agent)).toEqual([]);
      }
      await agent.stop();
    },
    testLimitMs,
  );

  test(
    "that stands still is replaced as fast by a new one, and exits 6 when it goes on",
    async () => {
      const still = await agentFor("statue");
      still.signal("SIGSTOP");
      const stoppedAtMs = performance.now();
      const fresh = await agentFor("statue");
      expect((await visit(target("statue"))).text).toBe("ok");
      expect(performance.now() - stoppedAtMs).toBeLessThan(maxReplaceMs);
      still.signal("SIGCONT");
      expect(await still.exit()).toBe(supersededExit);
      expect((await visit(target("statue"))).text).toBe("ok");
      expect(fresh.events.filter(({ state }) => state === "lost")).toEqual([]);
      await fresh.stop();
    },
    testLimitMs,
  );

  test(
    "two supervised instances of one name don't fight: one exits 6 and stays out, the other is restarted after kill -9",
    async () => {
      await using first = supervise("twins");
      await within(first.ready(1), waitLimitMs, () => "the first");
      await using second = supervise("twins");
      await within(second.ready(1), waitLimitMs, () => "the second");
      expect(await within(first.over, waitLimitMs, () => "the end of the first")).toBe(supersededExit);
      for (let i = 0; i < 20; i++) expect((await visit(target("twins"))).text).toBe("ok");
      expect([first.starts, second.starts]).toEqual([1, 1]);
      await second.current?.kill();
      await within(second.ready(2), waitLimitMs, () => "the second, again");
      expect((await visit(target("twins"))).text).toBe("ok");
      expect([first.starts, second.starts]).toEqual([1, 2]);
    },
    testLimitMs,
  );

  test(
    "started twice at the same moment under supervisors agrees who stays",
    async () => {
      await using first = supervise("rivals");
      await using second = supervise("rivals");
      const over = Promise.race([first.over, second.over]);
      expect(await within(over, waitLimitMs, () => "the end of one")).toBe(supersededExit);
      for (let i = 0; i < 20; i++) expect((await visit(target("rivals"))).text).toBe("ok");
      expect([first.starts, second.starts]).toEqual([1, 1]);
    },
    testLimitMs,
  );
});

describe("the relay's process", () => {
  const limits: Limits = {};

  testExcept(
    limits,
    "killed in the middle of a download and started again: the visitor sees an abort, and the origin's socket closes within 1 s of the new WELCOME",
    async () => {
      // One link, so that the WELCOME that is new is the one that tells of this stream.
      const agent = await agentFor("cut-off", "--links", "1");
      const closed = Promise.withResolvers<number>();
      origin.script = async ({ send, wire }) => {
        await send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc");
        await wire.over;
        closed.resolve(performance.now());
      };
      using visitor = await Visitor.connect(target("cut-off"));
      await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      const { body } = await visitor.answer();
      expect(await body.atLeast(3)).toBe("abc");
      const { port } = relay;
      const { mark } = agent;
      await relay.kill();
      await within(body.text(), waitLimitMs, () => "the visitor's end");
      expect(body.complete).toBe(false);
      relay = await startRelay({ data, port });
      const ready = await agent.event("ready", () => true, mark);
      const readyAtMs = performance.now();
      expect(ready["resumed"]).toBe(false);
      const closedAtMs = await within(closed.promise, waitLimitMs, () => "the end of the origin's socket");
      expect(closedAtMs - readyAtMs).toBeLessThan(isCluster ? maxTriedForMs : maxOriginCloseMs);
      origin.script = answerOk;
      expect((await visit(target("cut-off"))).text).toBe("ok");
      await agent.stop();
    },
    testLimitMs,
  );
});
