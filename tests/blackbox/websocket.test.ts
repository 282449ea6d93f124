import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { startEcho } from "./origins/echo.ts";
import { testExcept } from "./programs/except.ts";
import { relayRuntime } from "./programs/relay.ts";
import { startTunnel, type Tunnel } from "./programs/tunnel.ts";
import { RawOrigin } from "./raw/origin.ts";
import { Visitor } from "./raw/visitor.ts";
import { closePayload, frameBytes, opcodes, RawWebSocket } from "./raw/websocket.ts";

/** Where the platform gives whole messages, it speaks for itself in the frames. */
const messagesOnly = {
  workerd: "the platform gives whole messages, without extensions, fragments or half-close",
};
const noSocket = { workerd: "the platform upgrades to WebSocket alone" };
const testLimitMs = 30_000;
const manyLimitMs = 120_000;

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** An object of 128 MB holds the windows of 640 streams (docs/deploy.md). */
const many = relayRuntime === "workerd" ? 600 : 1_000;

describe("an echo origin", () => {
  let echo: ReturnType<typeof startEcho>;
  let tunnel: Tunnel;

  beforeAll(async () => {
    echo = startEcho();
    tunnel = await startTunnel({ origin: echo.port });
  }, testLimitMs);
  afterAll(async () => {
    await tunnel?.close();
    await echo?.close();
  });

  test("text, binary and empty messages come back as they went", async () => {
    using socket = await RawWebSocket.connect(tunnel.target);
    for (const [opcode, payload] of [
      [opcodes.text, Buffer.from("grüße ✓")],
      [opcodes.binary, Buffer.from([0, 255, 13, 10, 128])],
      [opcodes.text, Buffer.alloc(0)],
      [opcodes.binary, Buffer.alloc(0)],
      [opcodes.binary, randomBytes(125)],
      [opcodes.binary, randomBytes(126)],
      [opcodes.binary, randomBytes(65_535)],
      [opcodes.binary, randomBytes(65_536)],
    ] as const) {
      await socket.send(opcode, payload);
      const back = await socket.message();
      expect(back.opcode).toBe(opcode);
      expect(Buffer.from(back.payload).equals(payload)).toBe(true);
    }
  });

  test(
    "a message of 16 MiB comes back whole",
    async () => {
      using socket = await RawWebSocket.connect(tunnel.target);
      const payload = randomBytes(16 * 1024 * 1024);
      const [, back] = await Promise.all([socket.send(opcodes.binary, payload), socket.message()]);
      expect(back.payload.length).toBe(payload.length);
      expect(sha256(back.payload)).toBe(sha256(payload));
    },
    testLimitMs,
  );

  test("a fragmented message, with a ping in its middle, arrives whole", async () => {
    using socket = await RawWebSocket.connect(tunnel.target);
    await socket.send(opcodes.text, "frag", "more");
    await socket.send(opcodes.continuation, "", "more");
    await socket.send(opcodes.ping, "between");
    await socket.send(opcodes.continuation, "mented", "fin");
    const pong = await socket.frame();
    expect([pong.opcode, Buffer.from(pong.payload).toString()]).toEqual([opcodes.pong, "between"]);
    expect(await socket.text()).toBe("fragmented");
  });

  test("a ping is answered with its payload", async () => {
    using socket = await RawWebSocket.connect(tunnel.target);
    await socket.send(opcodes.ping, "are you there");
    const pong = await socket.frame();
    expect([pong.opcode, Buffer.from(pong.payload).toString()]).toEqual([opcodes.pong, "are you there"]);
  });

  test("the origin's close code and reason reach the visitor", async () => {
    for (const [code, reason] of [
      [1000, ""],
      [1001, "going"],
      [1011, "grüße"],
      [3000, "r".repeat(100)],
      [4999, "last"],
    ] as const) {
      using socket = await RawWebSocket.connect(tunnel.target, { path: "/bye" });
      await socket.send(opcodes.text, `${code} ${reason}`);
      const close = await socket.frame();
      expect(close.opcode).toBe(opcodes.close);
      expect(Buffer.from(close.payload)).toEqual(Buffer.from(closePayload(code, reason)));
    }
  });

  test("the subprotocol that the origin chose reaches the visitor", async () => {
    using socket = await RawWebSocket.connect(tunnel.target, {
      fields: ["Sec-WebSocket-Protocol: echo.1, echo.2"],
    });
    expect(socket.head.field("sec-websocket-protocol")).toBe("echo.2");
  });

  test("a first message that the origin sends at once is not lost", async () => {
    for (let i = 0; i < 50; i++) {
      using socket = await RawWebSocket.connect(tunnel.target, { path: "/greets" });
      expect(await socket.text()).toBe("welcome");
    }
  });

  test("a platform's own WebSocket works, through the tunnel's name", async () => {
    const options = { headers: { Host: tunnel.target.host } } as unknown as string[];
    const socket = new WebSocket(`ws://127.0.0.1:${tunnel.target.port}/`, options);
    const closed = new Promise<CloseEvent>((resolve) => socket.addEventListener("close", resolve));
    const message = new Promise<MessageEvent>((resolve) => socket.addEventListener("message", resolve));
    socket.addEventListener("open", () => socket.send("hello"));
    expect((await message).data).toBe("hello");
    socket.close(4321, "done");
    expect((await closed).code).toBe(4321);
  });

  test(
    `${many} at once echo text and binary, each its own`,
    async () => {
      const sockets: RawWebSocket[] = [];
      for (let at = 0; at < many; at += 100) {
        const batch = Array.from({ length: 100 }, () => RawWebSocket.connect(tunnel.target));
        sockets.push(...(await Promise.all(batch)));
      }
      expect(sockets.filter((socket) => socket.head.status !== 101).length).toBe(0);
      const wrong = await Promise.all(
        sockets.map(async (socket, i) => {
          await socket.send(opcodes.text, `text ${i}`);
          await socket.send(opcodes.binary, `binary ${i}`);
          const text = await socket.message();
          const binary = await socket.message();
          const fits =
            text.opcode === opcodes.text &&
            Buffer.from(text.payload).toString() === `text ${i}` &&
            binary.opcode === opcodes.binary &&
            Buffer.from(binary.payload).toString() === `binary ${i}`;
          return fits ? [] : [i];
        }),
      );
      for (const socket of sockets) socket.close();
      expect(wrong.flat()).toEqual([]);
    },
    manyLimitMs,
  );
});

describe("an origin that shows every byte", () => {
  let origin: RawOrigin;
  let tunnel: Tunnel;

  beforeAll(async () => {
    origin = await RawOrigin.listen();
    tunnel = await startTunnel({ origin: origin.port });
  }, testLimitMs);
  afterAll(async () => {
    await tunnel?.close();
    await origin?.close();
  });

  testExcept(messagesOnly, "the handshake's fields arrive as sent, extensions too", async () => {
    origin.script = async (exchange) => {
      await RawWebSocket.accept(exchange, {
        fields: ["Sec-WebSocket-Extensions: permessage-deflate", "X-From: origin"],
      });
      await exchange.wire.over;
    };
    const before = origin.exchanges.length;
    using socket = await RawWebSocket.connect(tunnel.target, {
      path: "/chat%2Froom?x=1",
      fields: [
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Origin: http://HOST",
        "Cookie: a=b",
      ],
    });
    expect(socket.head.start).toBe("HTTP/1.1 101 Switching Protocols");
    expect(socket.head.field("sec-websocket-extensions")).toBe("permessage-deflate");
    expect(socket.head.field("upgrade")).toBe("websocket");
    expect(socket.head.field("connection")?.toLowerCase()).toBe("upgrade");
    expect(socket.head.field("x-from")).toBe("origin");
    const { head } = await origin.arrived(before);
    expect(head.target).toBe("/chat%2Froom?x=1");
    expect(head.field("sec-websocket-extensions")).toBe("permessage-deflate; client_max_window_bits");
    expect(head.field("upgrade")).toBe("websocket");
    expect(head.field("connection")?.toLowerCase()).toBe("upgrade");
    expect(head.field("cookie")).toBe("a=b");
  });

  test("frames in the same packet as the 101 are not lost", async () => {
    const early = Buffer.from(frameBytes(opcodes.text, "at once", { masked: false })).toString("latin1");
    origin.script = async (exchange) => {
      await RawWebSocket.accept(exchange, { early });
      await exchange.wire.over;
    };
    for (let i = 0; i < 20; i++) {
      using socket = await RawWebSocket.connect(tunnel.target);
      expect(await socket.text()).toBe("at once");
    }
  });

  test("frames that the visitor sends before the 101 reach the origin", async () => {
    const heard: string[] = [];
    origin.script = async (exchange) => {
      const socket = await RawWebSocket.accept(exchange);
      heard.push(await socket.text(), await socket.text());
      await socket.send(opcodes.text, "heard");
    };
    const early = Buffer.from(frameBytes(opcodes.text, "too early", { masked: true })).toString("latin1");
    using socket = await RawWebSocket.connect(tunnel.target, { early });
    await socket.send(opcodes.text, "in time");
    expect(await socket.text()).toBe("heard");
    expect(heard).toEqual(["too early", "in time"]);
  });

  testExcept(messagesOnly, "fragments stay fragments and control frames stay where they were", async () => {
    origin.script = async (exchange) => {
      const socket = await RawWebSocket.accept(exchange);
      for (let i = 0; i < 4; i++) {
        const { opcode, payload, fin } = await socket.frame();
        await socket.send(opcode, payload, fin ? "fin" : "more");
      }
      await exchange.wire.over;
    };
    using socket = await RawWebSocket.connect(tunnel.target);
    await socket.send(opcodes.binary, "a", "more");
    await socket.send(opcodes.ping, "p");
    await socket.send(opcodes.continuation, "b", "more");
    await socket.send(opcodes.continuation, "c", "fin");
    const back = [];
    for (let i = 0; i < 4; i++) back.push(await socket.frame());
    expect(back.map((frame) => [frame.opcode, frame.fin, Buffer.from(frame.payload).toString()])).toEqual([
      [opcodes.binary, false, "a"],
      [opcodes.ping, true, "p"],
      [opcodes.continuation, false, "b"],
      [opcodes.continuation, true, "c"],
    ]);
  });

  test("the visitor's close code and reason reach the origin, and its answer comes back", async () => {
    const heard = Promise.withResolvers<Uint8Array>();
    origin.script = async (exchange) => {
      const socket = await RawWebSocket.accept(exchange);
      const close = await socket.frame();
      heard.resolve(close.payload);
      await socket.send(opcodes.close, close.payload);
      exchange.wire.end();
    };
    using socket = await RawWebSocket.connect(tunnel.target);
    await socket.send(opcodes.close, closePayload(4001, "enough"));
    expect(Buffer.from(await heard.promise)).toEqual(Buffer.from(closePayload(4001, "enough")));
    const answer = await socket.frame();
    expect(Buffer.from(answer.payload)).toEqual(Buffer.from(closePayload(4001, "enough")));
    expect(await socket.wire.over).toBe("fin");
  });

  testExcept(messagesOnly, "each side may end its direction and still hear the other", async () => {
    origin.script = async (exchange) => {
      const socket = await RawWebSocket.accept(exchange);
      expect(await exchange.wire.over).toBe("fin");
      await socket.send(opcodes.text, "after your end");
      exchange.wire.end();
    };
    using socket = await RawWebSocket.connect(tunnel.target);
    socket.wire.end();
    expect(await socket.text()).toBe("after your end");
  });

  test("a visitor that vanishes is seen by the origin, and the other way round", async () => {
    const gone = Promise.withResolvers<string>();
    origin.script = async (exchange) => {
      const socket = await RawWebSocket.accept(exchange);
      if (exchange.head.target === "/cut") {
        await socket.frame();
        return exchange.wire.abort();
      }
      gone.resolve(await exchange.wire.over);
    };
    const socket = await RawWebSocket.connect(tunnel.target);
    socket.wire.abort();
    expect(["fin", "reset"]).toContain(await gone.promise);
    using cut = await RawWebSocket.connect(tunnel.target, { path: "/cut" });
    await cut.send(opcodes.text, "now");
    // Where the platform speaks for itself in the frames, an abort is a close that says so.
    if (relayRuntime === "workerd")
      expect(Buffer.from((await cut.frame()).payload).readUInt16BE()).toBe(1011);
    else expect(["fin", "reset"]).toContain(await cut.wire.over);
  });

  test("an upgrade that the origin refuses is an ordinary answer", async () => {
    origin.script = (exchange) =>
      exchange.send("HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nContent-Length: 2\r\n\r\nno");
    using visitor = await Visitor.connect(tunnel.target);
    const upgrade =
      "GET / HTTP/1.1\r\nHost: HOST\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    await visitor.send(upgrade);
    const answer = await visitor.answer();
    expect(answer.status).toBe(403);
    expect(answer.head.field("x-why")).toBe("no");
    expect(await answer.body.text()).toBe("no");
  });

  testExcept(noSocket, "another protocol than WebSocket goes through as bytes, too", async () => {
    origin.script = async (exchange) => {
      await exchange.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd/1\r\nConnection: Upgrade\r\n\r\n\x00hello",
      );
      const said = await exchange.wire.until("\n");
      await exchange.send(`${said}!`);
      exchange.wire.end();
    };
    using visitor = await Visitor.connect(tunnel.target);
    await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\nUpgrade: odd/1\r\nConnection: Upgrade\r\n\r\n");
    const { status } = await visitor.answer();
    expect(status).toBe(101);
    expect(Buffer.from(await visitor.wire.exactly(6)).toString("latin1")).toBe("\x00hello");
    await visitor.send("\xffraw\n");
    expect(Buffer.from(await visitor.wire.exactly(5)).toString("latin1")).toBe("\xffraw!");
  });
});
