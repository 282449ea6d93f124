import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { objectBounds } from "../../relay/runtimes/object-bounds.ts";
import { encodeHead } from "../../shared/head.ts";
import { limits } from "../../shared/mux/limits.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { answerOk, RawOrigin, type Script } from "../blackbox/raw/origin.ts";
import { Visitor, visit } from "../blackbox/raw/visitor.ts";
import { frameBytes, opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { toHex } from "../oracle/bytes.ts";
import type { OracleRecord } from "../oracle/codec.ts";
import { HandAgent } from "./hand-agent.ts";
import { ObjectView } from "./object-view.ts";
import { startWorkerdRelay, type WorkerdRelay } from "./workerd-relay.ts";

const testLimitMs = 60_000;
const mebibyte = 1_048_576;
const { besideBytes, capBytes, growthBytes, maxWindowBytes } = objectBounds.memory;
/** What each stream may have waiting whatever others hold, with the piece that was being read. */
const shareBytes = 24_576;

let relay: WorkerdRelay;
const origins: RawOrigin[] = [];
const agents: Program[] = [];
const open: Disposable[] = [];

beforeAll(async () => {
  relay = await startWorkerdRelay({});
}, testLimitMs);
afterAll(async () => {
  for (const one of open) one[Symbol.dispose]();
  for (const agent of agents) await agent.kill();
  await relay?.stop();
  for (const origin of origins) await origin.close();
});

const targetOf = (name: string) => ({ port: relay.port, host: relay.hostFor(name) });

/** A tunnel with an object of its own. `/ok` is answered at once, all else by `script`. */
async function tunnel(name: string, script: Script) {
  const origin = await RawOrigin.listen((exchange) =>
    exchange.head.target === "/ok" ? answerOk(exchange) : script(exchange),
  );
  origins.push(origin);
  agents.push(await startAgent(relay, { origin: origin.port, name, token: await relay.token() }));
  return { origin, view: await ObjectView.of(relay, name), target: targetOf(name) };
}

const each = <T>(count: number, run: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => run(index)));

describe("what an object holds is bounded with", () => {
  test(
    "visitors that do not read: no more than the credit that was given, and others are served",
    async () => {
      const { view, target } = await tunnel("unread", async (exchange) => {
        await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${32 * mebibyte}\r\n\r\n`);
        await exchange.send(new Uint8Array(32 * mebibyte));
      });
      const count = 6;
      const visitors = await each(count, async () => {
        const visitor = await Visitor.connect(target);
        visitor.wire.socket.pause();
        await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
        return visitor;
      });
      open.push(...visitors);
      const { onCreditBytes, heldBytes, reservedBytes } = await view.still();
      expect(onCreditBytes.now).toBeGreaterThan((count / 2) * limits.initialWindowBytes * 0.5);
      expect(onCreditBytes.most).toBeLessThanOrEqual(reservedBytes);
      expect(reservedBytes).toBeLessThanOrEqual(capBytes);
      expect(heldBytes.most).toBeLessThanOrEqual(capBytes + besideBytes);
      expect((await visit(target, "/ok")).text).toBe("ok");
      for (const visitor of visitors) visitor.wire.abort();
      await view.until(({ heldBytes: { now } }) => now === 0);
    },
    testLimitMs,
  );

  test(
    "more visitors than there are first windows for: the rest is told to come again",
    async () => {
      const { view, target } = await tunnel("crowded", async (exchange) => {
        await exchange.wire.over;
      });
      const most = (capBytes - growthBytes) / limits.initialWindowBytes;
      const ask = async () => {
        const visitor = await Visitor.connect(target);
        open.push(visitor);
        await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
        return visitor;
      };
      await each(most, ask);
      await view.until(({ streams }) => streams === most);
      const { status, head } = await (await ask()).answer();
      expect([status, head.field("underpass-error")]).toEqual([503, "too-many-streams"]);
      expect((await view.figures()).reservedBytes).toBeLessThanOrEqual(capBytes);
    },
    testLimitMs,
  );

  test(
    "uploads to an origin that does not read: each has its share, and others are served",
    async () => {
      const { view, target } = await tunnel("unheard", async (exchange) => {
        exchange.wire.socket.pause();
        await exchange.wire.over;
      });
      const count = 200;
      // Far more than is taken.
      const body = new Uint8Array(mebibyte);
      const visitors = await each(count, async () => {
        const visitor = await Visitor.connect(target);
        await visitor.send(`POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${64 * mebibyte}\r\n\r\n`);
        void visitor.wire.send(body);
        return visitor;
      });
      open.push(...visitors);
      const { besideBytes: held } = await view.still();
      expect(held.most).toBeGreaterThan(besideBytes);
      expect(held.most).toBeLessThanOrEqual(besideBytes + count * shareBytes);
      expect((await visit(target, "/ok")).text).toBe("ok");
      for (const visitor of visitors) visitor.wire.abort();
      await view.until(({ heldBytes: { now } }) => now === 0);
    },
    testLimitMs,
  );

  test(
    "WebSockets that outrun their credit: together no more than one object has room for",
    async () => {
      const { view, target } = await tunnel("outrun", async (exchange) => {
        await RawWebSocket.accept(exchange);
        exchange.wire.socket.pause();
        await exchange.wire.over;
      });
      const count = 6;
      const message = new Uint8Array(mebibyte);
      const codes = await each(count, async () => {
        const socket = await RawWebSocket.connect(target);
        open.push(socket);
        void (async () => {
          for (let i = 0; i < 32; i++) await socket.send(opcodes.binary, message);
        })();
        const { opcode, payload } = await socket.frame();
        return opcode === opcodes.close ? Buffer.from(payload).readUInt16BE() : undefined;
      });
      expect(codes).toEqual(Array(count).fill(1013));
      const { besideBytes: held } = await view.figures();
      expect(held.most).toBeGreaterThan(besideBytes / 2);
      expect(held.most).toBeLessThanOrEqual(besideBytes + count * shareBytes);
      expect((await visit(target, "/ok")).text).toBe("ok");
    },
    testLimitMs,
  );

  test(
    "WebSockets whose origin announces large messages: whose do not fit are closed with 1013",
    async () => {
      const announced = frameBytes(opcodes.binary, new Uint8Array(16 * mebibyte), { masked: false });
      const { view, target } = await tunnel("announced", async (exchange) => {
        const socket = await RawWebSocket.accept(exchange);
        await socket.wire.send(announced.subarray(0, 1_000));
        await exchange.wire.over;
      });
      const count = 10;
      const sockets = await each(count, () => RawWebSocket.connect(target));
      open.push(...sockets);
      const { besideBytes: held } = await view.until(({ streams }) => streams === 1);
      expect(held.now).toBeGreaterThanOrEqual(16 * mebibyte);
      expect(held.most).toBeLessThanOrEqual(besideBytes + count * shareBytes);
      let kept = 0;
      const codes: number[] = [];
      for (const socket of sockets) {
        const closed = await Promise.race([socket.frame(), view.still().then(() => undefined)]);
        if (closed === undefined) kept++;
        else codes.push(Buffer.from(closed.payload).readUInt16BE());
      }
      expect([kept, codes]).toEqual([1, Array(count - 1).fill(1013)]);
    },
    testLimitMs,
  );

  test(
    "an agent that sends without credit: its session is over at the first byte too many",
    async () => {
      const name = "overrun";
      const view = await ObjectView.of(relay, name);
      const { agent } = await HandAgent.join(relay, { name, token: await relay.token() });
      const visitor = await Visitor.connect(targetOf(name));
      open.push(visitor);
      visitor.wire.socket.pause();
      await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      expect(await agent.records()).toContainEqual(expect.objectContaining({ record: "OPEN", stream: 2 }));
      const http = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n");
      await agent.say({ record: "HEAD", stream: 2, head: toHex(encodeHead({ http })) });
      const bytes = "00".repeat(60_000);
      void (async () => {
        for (let i = 0; i < 100; i++) await agent.say({ record: "DATA", stream: 2, bytes });
      })();
      const answers: OracleRecord[] = [];
      while (!answers.some(({ record }) => record === "GOAWAY")) answers.push(...(await agent.records()));
      expect(answers).toContainEqual(
        expect.objectContaining({ record: "GOAWAY", kind: "error", code: "flow-control-error" }),
      );
      const { onCreditBytes } = await view.figures();
      expect(onCreditBytes.most).toBeLessThanOrEqual(maxWindowBytes);
      agent.close();
    },
    testLimitMs,
  );
});
