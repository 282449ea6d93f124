import { afterAll, beforeAll, expect, test } from "bun:test";
import { startEcho } from "../blackbox/origins/echo.ts";
import { residentMiB } from "../blackbox/programs/memory.ts";
import { startAgent, startTunnel, type Tunnel } from "../blackbox/programs/tunnel.ts";
import { type Exchange, RawOrigin } from "../blackbox/raw/origin.ts";
import { Visitor } from "../blackbox/raw/visitor.ts";
import { opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { Figures } from "./figures.ts";

const testLimitMs = 600_000;
const visitorCount = 1000;
const eventCount = 100;
const eventEveryMs = 100;
const silenceMs = 120_000;

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
  "1,000 visitors of an event stream get each of the events that come every 100 ms",
  async () => {
    const listeners: Exchange[] = [];
    const all = Promise.withResolvers<void>();
    origin.script = async (exchange) => {
      await exchange.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
      );
      if (listeners.push(exchange) === visitorCount) all.resolve();
      await exchange.wire.over;
    };
    const visitors: Visitor[] = [];
    for (let at = 0; at < visitorCount; at += 100) {
      visitors.push(
        ...(await Promise.all(Array.from({ length: 100 }, () => Visitor.connect(tunnel.target)))),
      );
    }
    let total = 0;
    let worstMs = 0;
    const event = (i: number) =>
      `data: ${String(i).padStart(5, "0")} ${performance.now().toFixed(3).padStart(14, "0")}\n\n`;
    const heard = visitors.map(async (visitor) => {
      await visitor.send("GET /events HTTP/1.1\r\nHost: HOST\r\n\r\n");
      const { body } = await visitor.answer();
      let text = "";
      for (let next = 0; next < eventCount; ) {
        const piece = await body.piece();
        if (piece === undefined) throw new Error(`ended after ${next} events`);
        text += Buffer.from(piece).toString("latin1");
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
          expect(Number(text.slice(6, 11))).toBe(next);
          worstMs = Math.max(worstMs, performance.now() - Number(text.slice(12, end)));
          text = text.slice(end + 2);
          next++;
          total++;
        }
      }
    });
    await all.promise;
    let sent = 0;
    // The pace is what is tested.
    const pace = setInterval(() => {
      const data = event(sent++);
      for (const exchange of listeners) void exchange.send(`${data.length.toString(16)}\r\n${data}\r\n`);
      if (sent === eventCount) clearInterval(pace);
    }, eventEveryMs);
    await Promise.all(heard);
    for (const visitor of visitors) visitor.close();
    figures.note("events heard", total);
    figures.note("worst event ms", Math.round(worstMs));
    expect(total).toBe(visitorCount * eventCount);
  },
  testLimitMs,
);

test(
  "1,000 WebSockets outlive two minutes of silence",
  async () => {
    const echo = startEcho();
    const agent = await startAgent(tunnel.relay, { origin: echo.port, name: "echo", token: tunnel.token });
    const target = { port: tunnel.relay.port, host: tunnel.relay.hostFor("echo") };
    const sockets: RawWebSocket[] = [];
    for (let at = 0; at < visitorCount; at += 100) {
      sockets.push(...(await Promise.all(Array.from({ length: 100 }, () => RawWebSocket.connect(target)))));
    }
    const echoes = async (word: string) => {
      const answers = await Promise.all(
        sockets.map(async (socket, i) => {
          await socket.send(i % 2 ? opcodes.text : opcodes.binary, `${word} ${i}`);
          return (await socket.text()) === `${word} ${i}`;
        }),
      );
      return answers.filter(Boolean).length;
    };
    expect(await echoes("before")).toBe(visitorCount);
    // The wait is the test: two minutes in which nothing is said.
    const silence = Promise.withResolvers<void>();
    setTimeout(silence.resolve, silenceMs);
    const died = Promise.race(
      sockets.map((socket, i) => socket.wire.over.then((how) => `socket ${i}: ${how}`)),
    );
    expect(await Promise.race([silence.promise.then(() => "silence"), died])).toBe("silence");
    expect(await echoes("after")).toBe(visitorCount);
    figures.note("WebSockets alive", visitorCount);
    if (tunnel.relay.pid)
      figures.note("relay MiB with 1,000 WebSockets", await residentMiB(tunnel.relay.pid));
    figures.note("agent MiB with 1,000 WebSockets", await residentMiB(agent.pid));
    for (const socket of sockets) socket.close();
    await agent.kill();
    await echo.close();
  },
  testLimitMs,
);
