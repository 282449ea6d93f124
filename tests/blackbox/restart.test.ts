import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Program } from "./programs/program.ts";
import { type Relay, startRelay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { RawOrigin } from "./raw/origin.ts";
import { visit } from "./raw/visitor.ts";

const testLimitMs = 120_000;
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

test(
  "after kill -9 of the relay all agents are back under their names, by themselves",
  async () => {
    relay = await startRelay({ data });
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
      relay = await startRelay({ data, port });
      await Promise.all(
        agents.map((agent, i) => agent.event("ready", (event) => event["name"] === `agent-${i}`, marks[i])),
      );
      for (let i = 0; i < agentCount; i++) {
        expect((await visit({ port, host: relay.hostFor(`agent-${i}`) })).text).toBe("ok");
      }
      const errors = agents.flatMap((agent, i) =>
        agent.events.slice(marks[i]).filter((event) => event.event === "error"),
      );
      expect(errors.filter((event) => event["fatal"] === true || event["code"] === "name-taken")).toEqual([]);
    }
  },
  testLimitMs,
);

test(
  "a visitor in the middle of an answer sees an abort when the relay is killed, and when the agent is",
  async () => {
    origin.script = async (exchange) => {
      if (exchange.head.target !== "/long")
        return exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      await exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
      exchangeOpen.resolve();
      await exchange.wire.over;
    };
    let exchangeOpen = Promise.withResolvers<void>();
    const target = { port: relay.port, host: relay.hostFor("agent-0") };
    const byAgent = visit(target, "/long");
    await exchangeOpen.promise;
    await agents[0]?.kill();
    expect((await byAgent).complete).toBe(false);

    exchangeOpen = Promise.withResolvers<void>();
    const byRelay = visit({ ...target, host: relay.hostFor("agent-1") }, "/long");
    await exchangeOpen.promise;
    await relay.kill();
    expect((await byRelay).complete).toBe(false);
  },
  testLimitMs,
);
