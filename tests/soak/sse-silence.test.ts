import { afterAll, beforeAll, expect, test } from "bun:test";
import { NginxProxy, nginxBinary } from "../blackbox/programs/nginx-proxy.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { type Relay, startRelay } from "../blackbox/programs/relay.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { within } from "../blackbox/programs/within.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { visit } from "../blackbox/raw/visitor.ts";
import { opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 300_000;
const waitLimitMs = 30_000;
const silenceMs = 90_000;

const figures = new Figures();
let origin: RawOrigin;
let relay: Relay;
let token: string;
let nginx: NginxProxy | undefined;

beforeAll(async () => {
  origin = await RawOrigin.listen(async (exchange) => {
    if (exchange.head.field("upgrade") === undefined) return answerOk(exchange);
    const socket = await RawWebSocket.accept(exchange);
    for (;;) await socket.send(opcodes.text, await socket.text());
  });
  relay = await startRelay();
  token = await relay.token();
  if (nginxBinary !== undefined) nginx = await NginxProxy.start(relay.url, "takes-away");
}, testLimitMs);
afterAll(async () => {
  figures.print();
  await nginx?.close();
  await relay?.kill();
  await origin?.close();
});

/** An agent without WebSocket under `name`, once both links are there; and an echo through it. */
async function agentAt(url: string, name: string): Promise<Program> {
  const args = ["--transport", "sse"];
  const agent = await startAgent({ ...relay, url }, { origin: origin.port, name, token, args });
  await agent.event("link", ({ link, state }) => link === 1 && state === "up");
  return agent;
}

test(
  "90 s of silence on links without WebSocket are no reason to dial again, straight and behind an nginx that waits for 60 s, with an open WebSocket of a visitor's and without a stream",
  async () => {
    const urls = [relay.url, ...(nginx === undefined ? [] : [nginx.url])];
    const agents = await Promise.all(
      urls.flatMap((url, i) => [agentAt(url, `busy-${i}`), agentAt(url, `idle-${i}`)]),
    );
    const targets = urls.map((_, i) => ({ port: relay.port, host: relay.hostFor(`busy-${i}`) }));
    const sockets = await Promise.all(targets.map((target) => RawWebSocket.connect(target)));
    const echoes = (text: string) =>
      Promise.all(
        sockets.map(async (socket) => {
          await socket.send(opcodes.text, text);
          return within(socket.text(), waitLimitMs, () => `the echo of ${text}`);
        }),
      );
    expect(new Set(await echoes("before"))).toEqual(new Set(["before"]));
    const marks = agents.map((agent) => agent.mark);
    // The wait is the test.
    await Bun.sleep(silenceMs);
    expect(new Set(await echoes("after"))).toEqual(new Set(["after"]));
    for (let i = 0; i < urls.length; i++)
      expect((await visit({ port: relay.port, host: relay.hostFor(`idle-${i}`) })).text).toBe("ok");
    const told = agents.flatMap((agent, i) =>
      agent.events.slice(marks[i]).filter(({ event }) => event === "link" || event === "error"),
    );
    figures.note("links without WebSocket: events in 90 s of silence", told);
    expect(told).toEqual([]);
    for (const socket of sockets) socket.close();
    await Promise.all(agents.map((agent) => agent.stop()));
  },
  testLimitMs,
);
