import { describe, expect, test } from "bun:test";
import type { Clock } from "../../shared/clock.ts";
import { WebSocketLink } from "../../shared/links/websocket.ts";
import type { Socket, SocketHandler } from "../../shared/socket.ts";
import { closePayload, encodeFrame, opcodes } from "../../shared/websocket/frame.ts";
import { FrameReader } from "../../shared/websocket/frame-reader.ts";

/** A socket in the test's hands: what is written is kept, events are called by the test. */
class FakeSocket implements Socket {
  handler: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };
  readonly remote = "";
  readonly local = "";
  queued = 0;
  ended = false;
  destroyed = false;
  /** What a peer would read. */
  readonly told: string[] = [];
  readonly #reader: FrameReader;
  constructor(masked: boolean) {
    const note = (text: string): void => void this.told.push(text);
    this.#reader = new FrameReader(
      { masked, maxMessageBytes: 1_000_000, maxTextBytes: 1_000_000 },
      {
        message: (bytes) => note(`message ${bytes.toHex()}`),
        text: (text) => note(`text ${text}`),
        ping: (bytes) => note(`ping ${bytes.toHex()}`),
        pong: (bytes) => note(`pong ${bytes.toHex()}`),
        closeFrame: (code, reason) => note(`close ${code} ${reason}`),
        failed: (code, reason) => note(`failed ${code} ${reason}`),
      },
    );
  }
  write(bytes: Uint8Array): number {
    this.#reader.push(bytes);
    return this.queued;
  }
  end(): void {
    this.ended = true;
  }
  destroy(): void {
    this.destroyed = true;
  }
  pause(): void {}
  resume(): void {}
}

/** A link over a fake socket, with time that stands still until `advance`. */
function setUp(role: "agent" | "relay", early?: Uint8Array) {
  const timers: { atMs: number; run: () => void }[] = [];
  const soon: (() => void)[] = [];
  let now = 0;
  const clock: Clock = {
    now: () => now,
    date: () => now,
    at(atMs, run) {
      const timer = { atMs, run };
      timers.push(timer);
      return () => void timers.splice(timers.indexOf(timer) >>> 0, 1);
    },
    soon: (run) => void soon.push(run),
  };
  const socket = new FakeSocket(role === "agent");
  const link = new WebSocketLink(socket, { role, clock, ...(early && { early }) });
  const heard: string[] = [];
  let lives = 0;
  link.handler = {
    heard: () => void lives++,
    message: (bytes) => heard.push(`message ${bytes.toHex()}`),
    text: (text) => heard.push(`text ${text}`),
    drained: () => heard.push("drained"),
    closed: (code, reason) => heard.push(`closed ${code} ${reason}`.trim()),
  };
  const key = role === "relay" ? 0x01020304 : undefined;
  return {
    socket,
    link,
    heard,
    lives: () => lives,
    timers,
    /** Bytes come from the peer. */
    come: (...parts: Uint8Array[]) => socket.handler.data(Buffer.concat(parts)),
    frame: (opcode: keyof typeof opcodes, payload: Uint8Array | string = "") =>
      encodeFrame(opcodes[opcode], typeof payload === "string" ? Buffer.from(payload) : payload, key),
    turn: () => {
      for (const run of soon.splice(0)) run();
    },
    advance(ms: number) {
      now += ms;
      for (const timer of [...timers]) if (timer.atMs <= now) timer.run();
    },
  };
}

for (const role of ["agent", "relay"] as const) {
  describe(`the ${role}'s end`, () => {
    test("answers pings with their payload, and stops answering one who does not read", () => {
      const { socket, come, frame, heard } = setUp(role);
      come(frame("ping", "abc"), frame("pong", "x"), frame("binary", "m"));
      expect(socket.told).toEqual(["pong 616263"]);
      expect(heard).toEqual(["message 6d"]);
      socket.queued = 1_000_000;
      for (let i = 0; i < 100; i++) come(frame("ping"));
      expect(socket.told.length).toBe(1);
    });

    test("answers a close with the same code, ends, and tells it when the socket is gone", () => {
      const { socket, come, frame, heard } = setUp(role);
      come(frame("binary", "m"), frame("close", closePayload(4_001, "why")), frame("binary", "late"));
      expect(socket.told).toEqual(["close 4001 "]);
      expect([socket.ended, socket.destroyed, heard]).toEqual([true, false, ["message 6d"]]);
      socket.handler.closed({ reset: false });
      expect(heard).toEqual(["message 6d", "closed 4001 why"]);
    });

    test("answers a close without a code by one without", () => {
      const { socket, come, frame, heard } = setUp(role);
      come(frame("close"));
      socket.handler.closed({ reset: false });
      expect([socket.told, heard]).toEqual([["close 1005 "], ["closed 1005"]]);
    });

    test("drops a peer that leaves a close unanswered for 2 s", () => {
      const { socket, link, heard, advance, timers, come, frame } = setUp(role);
      link.close(1_001, "stop");
      link.close(1_000, "again");
      expect(socket.told).toEqual(["close 1001 stop"]);
      come(frame("binary", "still talking"), frame("ping"));
      advance(1_999);
      expect(socket.destroyed).toBe(false);
      advance(1);
      expect(socket.destroyed).toBe(true);
      socket.handler.closed({ reset: false });
      expect(heard).toEqual(["closed 1006"]);
      expect(timers.length).toBe(0);
    });

    test("drops a peer that never ends its side after the closes", () => {
      const { socket, come, frame, advance, heard } = setUp(role);
      come(frame("close", closePayload(1_000, "")));
      advance(2_000);
      expect(socket.destroyed).toBe(true);
      socket.handler.closed({ reset: false });
      expect(heard).toEqual(["closed 1000"]);
    });

    test("takes an end or a reset without a close for 1006", () => {
      for (const how of ["ended", "closed"] as const) {
        const { socket, heard, link } = setUp(role);
        if (how === "ended") socket.handler.ended();
        expect(socket.destroyed).toBe(how === "ended");
        socket.handler.closed({ reset: true });
        link.send(new Uint8Array(1));
        link.sendText("x");
        link.close(1_000, "");
        expect([socket.told, heard]).toEqual([[], ["closed 1006"]]);
      }
    });

    test("closes a peer that breaks a rule with the code for it, and tells nothing more of it", () => {
      const cases: [Uint8Array, number][] = [
        [Uint8Array.of(0x83, role === "relay" ? 0x80 : 0, 0, 0, 0, 0), 1002],
        [Uint8Array.of(0x82, role === "relay" ? 0x01 : 0x81, 0, 0, 0, 0), 1002],
        [setUp(role).frame("text", Uint8Array.of(0xff)), 1007],
        [setUp(role).frame("text", "x".repeat(1_025)), 1009],
        [setUp(role).frame("binary", new Uint8Array(65_537)), 1009],
      ];
      for (const [bytes, code] of cases) {
        const { socket, come, frame, heard, advance } = setUp(role);
        come(frame("binary", "m"), bytes, frame("binary", "late"));
        come(frame("close", closePayload(1_000, "")));
        expect(socket.told.map((text) => text.slice(0, 10))).toEqual([`close ${code}`]);
        expect([socket.ended, heard]).toEqual([true, ["message 6d"]]);
        advance(2_000);
        expect(socket.destroyed).toBe(true);
        socket.handler.closed({ reset: false });
        expect(heard[1]).toStartWith(`closed ${code} `);
      }
    });

    test("takes each piece of bytes for a sign of life, be it part of a message or a ping, until it closes", () => {
      const { link, come, frame, lives, heard, socket } = setUp(role);
      const whole = frame("binary", new Uint8Array(100));
      for (let at = 0; at < whole.length; at += 10) come(whole.subarray(at, at + 10));
      expect(lives()).toBe(Math.ceil(whole.length / 10));
      expect(heard).toHaveLength(1);
      const before = lives();
      come(frame("ping"));
      expect(lives()).toBe(before + 1);
      link.close(1_000, "");
      come(frame("binary", "late"));
      socket.handler.closed({ reset: false });
      expect(lives()).toBe(before + 1);
    });

    test("a destroy from inside a message stops the rest of the chunk", () => {
      const { socket, link, come, frame, heard } = setUp(role);
      const { handler } = link;
      link.handler = {
        ...handler,
        message(bytes) {
          handler.message(bytes);
          link.destroy();
        },
      };
      come(frame("binary", "m"), frame("binary", "n"), frame("ping"));
      socket.handler.closed({ reset: false });
      expect([heard, socket.told, socket.destroyed]).toEqual([["message 6d", "closed 1006"], [], true]);
    });

    test("early bytes come in a later turn, before all others, and not after a destroy", () => {
      const early = setUp(role).frame("binary", "early");
      const first = setUp(role, early.slice());
      expect(first.heard).toEqual([]);
      expect(first.lives()).toBe(0);
      first.turn();
      expect(first.lives()).toBe(1);
      expect(first.heard).toEqual(["message 6561726c79"]);
      const second = setUp(role, early.slice());
      second.come(second.frame("binary", "m"));
      second.turn();
      expect(second.heard).toEqual(["message 6561726c79", "message 6d"]);
      const third = setUp(role, early.slice());
      third.link.destroy();
      third.turn();
      expect(third.heard).toEqual([]);
    });

    test("passes on queued and drained while it is open", () => {
      const { socket, link, heard } = setUp(role);
      socket.queued = 42;
      expect(link.queued).toBe(42);
      socket.handler.drained();
      link.close(1_000, "");
      socket.handler.drained();
      expect(heard).toEqual(["drained"]);
    });
  });
}

test("the agent's frames have fresh keys", () => {
  const written: Uint8Array[] = [];
  const socket = new FakeSocket(true);
  socket.write = (bytes) => {
    written.push(bytes);
    return 0;
  };
  const clock: Clock = { now: () => 0, date: () => 0, at: () => () => {}, soon: () => {} };
  const link = new WebSocketLink(socket, { role: "agent", clock });
  for (let i = 0; i < 600; i++) link.send(new Uint8Array(1));
  const keys = new Set(written.map((frame) => frame.slice(2, 6).toHex()));
  expect(keys.size).toBeGreaterThan(597);
});
