import { afterAll, beforeAll, expect, test } from "bun:test";
import { Ongoing } from "../blackbox/ongoing.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { startAgent, startTunnel, type Tunnel } from "../blackbox/programs/tunnel.ts";
import { within } from "../blackbox/programs/within.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { visit } from "../blackbox/raw/visitor.ts";
import { opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 300_000;
const waitLimitMs = 30_000;
const silenceMs = 90_000;
const stoppedMs = 20_000;

const figures = new Figures();
let origin: RawOrigin;
let tunnel: Tunnel;

beforeAll(async () => {
  origin = await RawOrigin.listen();
  tunnel = await startTunnel({ origin: origin.port });
}, testLimitMs);
afterAll(async () => {
  figures.print();
  await tunnel?.close();
  await origin?.close();
});

test(
  "90 s of silence on a link are no reason to dial again, with an open WebSocket and without a stream",
  async () => {
    const idle = await startAgent(tunnel.relay, { origin: origin.port, name: "idle", token: tunnel.token });
    origin.script = async (exchange) => {
      if (exchange.head.field("upgrade") === undefined) return answerOk(exchange);
      const socket = await RawWebSocket.accept(exchange);
      for (;;) await socket.send(opcodes.text, await socket.text());
    };
    const socket = await RawWebSocket.connect(tunnel.target);
    const echo = async (text: string) => {
      await socket.send(opcodes.text, text);
      return within(socket.text(), waitLimitMs, () => `the echo of ${text}`);
    };
    expect(await echo("before")).toBe("before");
    await Promise.all([tunnel.agent, idle].map(pool));
    const marks = [tunnel.agent, idle].map((agent) => agent.mark);
    // The wait is the test.
    await Bun.sleep(silenceMs);
    expect(await echo("after")).toBe("after");
    const told = [tunnel.agent, idle].flatMap((agent, i) => linkEvents(agent, marks[i]));
    figures.note("link events in 90 s of silence", told);
    expect(told).toEqual([]);
    socket.close();
    await idle.stop();
  },
  testLimitMs,
);

test(
  "an agent that stands still for 20 s and goes on: its download and its WebSocket go on",
  async () => {
    const { agent, target } = tunnel;
    using ongoing = await Ongoing.start(target, origin);
    await ongoing.moved();
    const { mark } = agent;
    agent.signal("SIGSTOP");
    // The wait is the test.
    await Bun.sleep(stoppedMs);
    agent.signal("SIGCONT");
    const wentOnAtMs = performance.now();
    await ongoing.moved();
    figures.note("ms from SIGCONT to progress of both", Math.round(performance.now() - wentOnAtMs));
    const { sent, received, messages, outOfTurn } = await ongoing.finish();
    figures.note("link events after SIGCONT", linkEvents(agent, mark));
    figures.note("carried over it", { bytes: received.bytes, messages });
    expect(received).toEqual(sent);
    expect(outOfTurn).toEqual([]);
    expect((await visit(target)).text).toBe("ok");
  },
  testLimitMs,
);

function linkEvents(agent: Program, after = 0): string[] {
  return agent.events
    .slice(after)
    .filter(({ event }) => event === "link")
    .map(({ link, state }) => `${state} ${link}`);
}

/** Once the second link is there too: it comes after `ready`. */
async function pool(agent: Program): Promise<void> {
  await agent.event("link", ({ link, state }) => link === 1 && state === "up");
}
