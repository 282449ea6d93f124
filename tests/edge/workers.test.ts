import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Relay } from "../blackbox/programs/relay.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { Visitor, visit } from "../blackbox/raw/visitor.ts";
import { closePayload, opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { Workerd } from "./workerd.ts";
import { startWorkerdRelay } from "./workerd-relay.ts";

const testLimitMs = 60_000;
const mebibyte = 1_048_576;

test(
  "without a secret every request fails with a clear answer, and the log says why",
  async () => {
    const workerd = await Workerd.start({ variables: { UNDERPASS_DOMAIN: "localhost" } });
    try {
      for (const host of ["127.0.0.1", "blue.localhost"]) {
        const { status, head, text } = await visit({ port: workerd.port, host });
        expect([status, head.field("underpass-error")]).toEqual([500, "secret-invalid"]);
        expect(text).toContain("at least 32 bytes");
      }
      expect(workerd.output.text).toContain("at least 32 bytes");
    } finally {
      await workerd.stop();
    }
  },
  testLimitMs,
);

test(
  "a name stays its owner's when the relay is deployed anew",
  async () => {
    const data = await mkdtemp(join(tmpdir(), "underpass-workers-"));
    const dial = async (relay: Relay, sub: string) => {
      using visitor = await Visitor.connect({ port: relay.port, host: `127.0.0.1:${relay.port}` });
      await visitor.send(
        `POST /_underpass/names HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer ${await relay.token({ sub })}\r\nContent-Length: 30\r\n\r\n{"kind":"http","name":"kept"}\n`,
      );
      const answer = await visitor.answer();
      return [answer.status, answer.head.field("underpass-error"), await answer.body.text()] as const;
    };
    try {
      const first = await startWorkerdRelay({ data });
      expect(await dial(first, "alice")).toMatchObject([201, undefined, '{"name":"kept"}']);
      expect((await dial(first, "mallory")).slice(0, 2)).toEqual([409, "name-taken"]);
      await first.stop();
      const second = await startWorkerdRelay({ data });
      expect((await dial(second, "mallory")).slice(0, 2)).toEqual([409, "name-taken"]);
      expect((await dial(second, "alice"))[0]).toBe(201);
      const kept = { port: second.port, host: second.hostFor("kept") };
      expect((await visit(kept)).head.field("underpass-error")).toBe("agent-offline");
      await second.stop();
    } finally {
      await rm(data, { recursive: true, force: true });
    }
  },
  testLimitMs,
);

describe("a visitor's WebSocket", () => {
  let relay: Relay;
  let origin: RawOrigin;
  let agent: Awaited<ReturnType<typeof startAgent>>;
  const target = () => ({ port: relay.port, host: relay.hostFor("blue") });

  beforeAll(async () => {
    [relay, origin] = await Promise.all([startWorkerdRelay({}), RawOrigin.listen()]);
    agent = await startAgent(relay, { origin: origin.port, name: "blue", token: await relay.token() });
  }, testLimitMs);
  afterAll(async () => {
    await agent?.kill();
    await relay?.stop();
    await origin?.close();
  });

  test("reaches the origin as a handshake of the relay's own, without extensions", async () => {
    origin.script = async (exchange) => {
      await RawWebSocket.accept(exchange, { fields: ["Sec-WebSocket-Protocol: two", "X-From: origin"] });
      await exchange.wire.over;
    };
    const before = origin.exchanges.length;
    using socket = await RawWebSocket.connect(target(), {
      path: "/chat%2Froom?x=1",
      fields: [
        "Sec-WebSocket-Extensions: permessage-deflate",
        "Sec-WebSocket-Protocol: one, two",
        "Cookie: a=b",
      ],
    });
    expect([socket.head.field("sec-websocket-protocol"), socket.head.field("x-from")]).toEqual([
      "two",
      "origin",
    ]);
    const { head } = await origin.arrived(before);
    expect(head.target).toBe("/chat%2Froom?x=1");
    expect(head.field("sec-websocket-extensions")).toBeUndefined();
    expect(head.all("sec-websocket-key").length).toBe(1);
    expect([head.field("cookie"), head.field("connection")?.toLowerCase()]).toEqual(["a=b", "upgrade"]);
  });

  test("pings of the origin are answered here, with their payload and masked", async () => {
    const heard = Promise.withResolvers<readonly unknown[]>();
    origin.script = async (exchange) => {
      const socket = await RawWebSocket.accept(exchange);
      await socket.send(opcodes.ping, "are you there");
      const pong = await socket.frame();
      heard.resolve([pong.opcode, Buffer.from(pong.payload).toString()]);
      await exchange.wire.over;
    };
    using _socket = await RawWebSocket.connect(target());
    expect(await heard.promise).toEqual([opcodes.pong, "are you there"]);
  });

  test(
    "one that outruns his credit is closed with 1013, and the origin is told",
    async () => {
      const stuck = Promise.withResolvers<void>();
      const over = Promise.withResolvers<unknown>();
      origin.script = async (exchange) => {
        await RawWebSocket.accept(exchange);
        exchange.wire.socket.pause();
        await stuck.promise;
        exchange.wire.socket.resume();
        while ((await exchange.wire.some().catch(() => undefined)) !== undefined);
        over.resolve("over");
      };
      using socket = await RawWebSocket.connect(target());
      const message = new Uint8Array(mebibyte);
      const sent = (async () => {
        for (let i = 0; i < 64; i++) await socket.send(opcodes.binary, message);
      })();
      const close = await socket.frame();
      expect(close.opcode).toBe(opcodes.close);
      expect(Buffer.from(close.payload).readUInt16BE()).toBe(1013);
      await sent;
      stuck.resolve();
      await socket.send(opcodes.close, closePayload(1013));
      expect(await over.promise).toBe("over");
    },
    testLimitMs,
  );
});
