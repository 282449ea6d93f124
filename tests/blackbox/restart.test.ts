import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Program } from "./programs/program.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { within } from "./programs/within.ts";
import { RawOrigin } from "./raw/origin.ts";
import { type Answer, Visitor, visit } from "./raw/visitor.ts";

const testLimitMs = 120_000;
const answerLimitMs = 20_000;
const agentCount = 20;

let data: string;
let origin: RawOrigin;
let relay: Relay;
const agents: Program[] = [];

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), "underpass-restart-"));
  origin = await RawOrigin.listen();
}, testLimitMs);
afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.kill()));
  await relay?.kill();
  await origin?.close();
  await rm(data, { recursive: true, force: true });
});

/** A relay can't tell a dead agent from one that will be back, and keeps its visitors waiting for so long. */
const args = ["--resume-window", "2s"];

test(
  "after kill -9 of the relay all agents are back under their names, by themselves",
  async () => {
    relay = await startRelay({ data, args });
    const { port } = relay;
    const token = await relay.token();
    for (let at = 0; at < agentCount; at += 5) {
      const started = Array.from({ length: 5 }, (_, i) =>
        startAgent(relay, { origin: origin.port, name: `agent-${at + i}`, token }),
      );
      agents.push(...(await Promise.all(started)));
    }
    for (let round = 0; round < 2; round++) {
      const marks = agents.map((agent) => agent.mark);
      await relay.kill();
      await Promise.all(
        agents.map((agent, i) => agent.event("link", (event) => event["state"] === "lost", marks[i])),
      );
      relay = await startRelay({ data, port, args });
      await Promise.all(
        agents.map((agent, i) => agent.event("ready", (event) => event["name"] === `agent-${i}`, marks[i])),
      );
      for (let i = 0; i < agentCount; i++) {
        const visited = visit({ port, host: relay.hostFor(`agent-${i}`) });
        const told = () => `an answer by agent-${i}, ${agents[i]?.describe()}`;
        expect((await within(visited, answerLimitMs, told)).text).toBe("ok");
      }
      const errors = agents.flatMap((agent, i) =>
        agent.events.slice(marks[i]).filter((event) => event.event === "error"),
      );
      expect(errors.filter((event) => event["fatal"] === true || event["code"] === "name-taken")).toEqual([]);
    }
  },
  testLimitMs,
);

/** workerd ends a chunked body as if it were complete when its source breaks off; a length shows it there too. */
const unfinished =
  relayRuntime === "workerd"
    ? "Content-Length: 9\r\n\r\nabc"
    : "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";

/** A visitor that has the beginning of an answer that does not end. */
async function inTheMiddle(name: string): Promise<Answer> {
  const visitor = await Visitor.connect({ port: relay.port, host: relay.hostFor(name) });
  await visitor.send("GET /long HTTP/1.1\r\nHost: HOST\r\n\r\n");
  const answer = await visitor.answer();
  expect(await answer.body.atLeast(3)).toBe("abc");
  return answer;
}

test(
  "a visitor in the middle of an answer sees an abort when the agent is killed and not back in time, and when the relay is",
  async () => {
    origin.script = async (exchange) => {
      await exchange.send(`HTTP/1.1 200 OK\r\n${unfinished}`);
      await exchange.wire.over;
    };
    const byAgent = await inTheMiddle("agent-0");
    await agents[0]?.kill();
    await byAgent.body.text();
    expect(byAgent.body.complete).toBe(false);

    const byRelay = await inTheMiddle("agent-1");
    await relay.kill();
    await byRelay.body.text();
    expect(byRelay.body.complete).toBe(false);
  },
  testLimitMs,
);
