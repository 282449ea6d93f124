import { describe, expect, test } from "bun:test";
import type { Code } from "../../shared/errors.ts";
import { listen } from "../../shared/runtimes/bun-sockets.ts";
import { RawService } from "../origins/places.ts";
import { FakePipeEnd } from "../shared/fake-pipe-end.ts";
import { limitMs, noAuth, ProxyHarness, socksRequest } from "./proxy-harness.ts";

const succeeded = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const reply = (code: number): number[] => [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
const echo = () => RawService.listen((socket) => socket.pipe(socket));

describe("SOCKS5", () => {
  test("CONNECT to a name, an IPv4 and an IPv6 address carries bytes both ways", async () => {
    await using service = await echo();
    await using harness = await ProxyHarness.start();
    const { port } = service;
    harness.caller.routes.set(`one.test:${port}`, port);
    harness.caller.routes.set(`[2001:db8::7]:${port}`, port);
    const at = [port >>> 8, port & 0xff];
    const address6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    for (const request of [
      socksRequest("one.test", port),
      Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, ...at),
      Uint8Array.of(5, 1, 0, 4, ...address6, ...at),
    ]) {
      const program = await harness.program(noAuth);
      expect(await program.take(2)).toEqual([5, 0]);
      program.write(request);
      expect(await program.take(10)).toEqual(succeeded);
      program.write("hello");
      await program.says("hello");
      program.socket.end();
      await program.over();
    }
    await harness.ended(3);
    expect(harness.caller.called).toEqual([`one.test:${port}`, `127.0.0.1:${port}`, `[2001:db8::7]:${port}`]);
    expect(harness.events[0]).toEqual({
      event: "stream",
      kind: "proxy",
      target: `one.test:${port}`,
      bytesIn: 5,
      bytesOut: 5,
      end: "closed",
    });
  });

  test("a handshake in one piece, with bytes for the target behind it, and one byte at a time", async () => {
    await using service = await echo();
    await using harness = await ProxyHarness.start();
    const all = Buffer.concat([noAuth, socksRequest("127.0.0.1", service.port), Buffer.from("early")]);
    const whole = await harness.program(all);
    expect(await whole.take(12)).toEqual([5, 0, ...succeeded]);
    await whole.says("early");
    const slow = await harness.program();
    for (const byte of all) {
      slow.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await slow.take(12)).toEqual([5, 0, ...succeeded]);
    await slow.says("early");
  });

  test("a half-close goes through both ways, also one that comes before the reply", async () => {
    await using service = await RawService.listen((socket) => {
      let text = "";
      socket.on("data", (bytes) => {
        text += bytes;
      });
      socket.on("end", () => socket.end(`got ${text}`));
    });
    await using harness = await ProxyHarness.start();
    const request = Buffer.concat([noAuth, socksRequest("127.0.0.1", service.port)]);
    const after = await harness.program(request);
    await after.take(12);
    after.socket.end("all of it");
    await after.says("got all of it");
    await after.over();
    expect(after.reset).toBe(false);
    const before = await harness.program(request);
    before.socket.end("ahead");
    await before.says("got ahead");
    await harness.ended(2);
    expect(harness.events.map(({ end, bytesIn, bytesOut }) => [end, bytesIn, bytesOut])).toEqual([
      ["closed", 9, 13],
      ["closed", 5, 9],
    ]);
  });

  test("a target that breaks off resets the program's socket, and the event says so", async () => {
    await using service = await RawService.listen((socket) =>
      socket.once("data", () => socket.resetAndDestroy()),
    );
    await using harness = await ProxyHarness.start();
    const program = await harness.program(noAuth, socksRequest("127.0.0.1", service.port));
    await program.take(12);
    program.write("x");
    await program.until(() => program.closed);
    expect(program.reset).toBe(true);
    await harness.ended(1);
    expect(harness.events[0]).toMatchObject({ end: "reset", code: "origin-closed", bytesIn: 1 });
  });

  test("a program that goes away while the call is under way takes the call with it", async () => {
    await using harness = await ProxyHarness.start();
    const far = new FakePipeEnd();
    harness.caller.silent.set("slow.test:80", far);
    const program = await harness.program(noAuth, socksRequest("slow.test", 80));
    await program.take(2);
    program.socket.resetAndDestroy();
    await far.until(() => far.abortedWith !== undefined);
    expect(far.abortedWith).toBe("cancelled");
    expect(harness.events).toMatchObject([{ target: "slow.test:80", end: "reset", code: "cancelled" }]);
  });

  test("all that comes ahead of the reply arrives", async () => {
    await using service = await echo();
    await using harness = await ProxyHarness.start();
    let open = (): void => {};
    const reached = Promise.withResolvers<void>();
    const dialled = harness.caller.tcp.bind(harness.caller);
    harness.caller.tcp = (target, opened) =>
      dialled(target, () => {
        open = opened;
        reached.resolve();
      });
    const program = await harness.program(noAuth, socksRequest("127.0.0.1", service.port));
    await program.take(2);
    const size = 32 * 1_048_576;
    const body = Buffer.alloc(size, "abcdefghijklmnopq");
    program.socket.write(body);
    await reached.promise;
    open();
    expect(await program.take(10)).toEqual(succeeded);
    await program.until(() => program.bytes.length === size);
    expect(program.bytes.equals(body)).toBe(true);
  });

  const failures: readonly (readonly [Code, number])[] = [
    ["origin-refused", 5],
    ["origin-unreachable", 4],
    ["origin-not-found", 4],
    ["origin-timeout", 6],
    ["egress-denied", 2],
    ["agent-offline", 1],
    ["link-lost", 1],
  ];
  test.each(failures)(
    "a call that failed with %s is told as %d, and the socket ends",
    async (code, expected) => {
      await using harness = await ProxyHarness.start();
      harness.caller.refusals.set("no.test:80", code);
      const program = await harness.program(noAuth, socksRequest("no.test", 80));
      expect(await program.take(12)).toEqual([5, 0, ...reply(expected)]);
      await program.over();
      expect(program.reset).toBe(false);
      expect(harness.events).toMatchObject([
        { target: "no.test:80", end: "reset", code, bytesIn: 0, bytesOut: 0 },
      ]);
    },
  );

  test.each([
    ["BIND", Uint8Array.of(5, 2, 0, 1, 1, 2, 3, 4, 0, 80), 7],
    ["an unknown command", Uint8Array.of(5, 9, 0, 1, 1, 2, 3, 4, 0, 80), 7],
    ["UDP ASSOCIATE where datagrams are not offered", Uint8Array.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0), 7],
    ["an unknown type of address", Uint8Array.of(5, 1, 0, 2, 1, 2, 3, 4, 0, 80), 8],
    ["port 0", Uint8Array.of(5, 1, 0, 1, 1, 2, 3, 4, 0, 0), 4],
    ["an empty name", socksRequest("", 80), 4],
    ["a name with a space", socksRequest("a b", 80), 4],
    ["a name with a line break", socksRequest("a\r\nb", 80), 4],
    ["a name with a port", socksRequest("a.test:1", 80), 4],
    ["a name of 255", socksRequest("a".repeat(255), 80), 4],
  ])("%s is refused and calls nobody", async (_what, request, expected) => {
    await using harness = await ProxyHarness.start();
    const program = await harness.program(noAuth, request);
    expect(await program.take(12)).toEqual([5, 0, ...reply(expected)]);
    await program.over();
    expect(harness.caller.called).toEqual([]);
  });

  test("an IPv6 address given as a name is called as an address", async () => {
    await using harness = await ProxyHarness.start();
    harness.caller.refusals.set("[::ffff:a00:1]:80", "egress-denied");
    const program = await harness.program(noAuth, socksRequest("::FFFF:10.0.0.1", 80));
    expect(await program.take(12)).toEqual([5, 0, ...reply(2)]);
  });
});

describe("SOCKS5 credentials", () => {
  const login = (user: string, password: string): Uint8Array =>
    Uint8Array.of(1, user.length, ...Buffer.from(user), password.length, ...Buffer.from(password));
  const offersBoth = Uint8Array.of(5, 2, 0, 2);
  const offersLogin = Uint8Array.of(5, 1, 2);
  const credentials = { user: "me", password: "secret" };

  test("the right ones get through", async () => {
    await using service = await echo();
    await using harness = await ProxyHarness.start({ credentials });
    for (const offer of [offersBoth, offersLogin]) {
      const program = await harness.program(offer, login("me", "secret"));
      expect(await program.take(4)).toEqual([5, 2, 1, 0]);
      program.write(socksRequest("127.0.0.1", service.port));
      expect(await program.take(10)).toEqual(succeeded);
    }
  });

  test.each([
    ["me", "secreT"],
    ["me", "secret2"],
    ["me", ""],
    ["", "secret"],
    ["secret", "me"],
    ["me", "secretsecret"],
  ])("wrong ones (%s, %s) end the socket before anything is called", async (user, password) => {
    await using harness = await ProxyHarness.start({ credentials });
    const program = await harness.program(offersBoth, login(user, password), socksRequest("a.test", 80));
    expect(await program.take(4)).toEqual([5, 2, 1, 1]);
    await program.over();
    expect(program.bytes.length).toBe(0);
    expect(harness.caller.called).toEqual([]);
  });

  test("who offers none is refused, and so is SOCKS4", async () => {
    await using harness = await ProxyHarness.start({ credentials });
    const program = await harness.program(noAuth, socksRequest("a.test", 80));
    expect(await program.take(2)).toEqual([5, 0xff]);
    await program.over();
    const four = await harness.program(Uint8Array.of(4, 1, 0, 80, 1, 2, 3, 4, 0));
    expect((await four.take(8))[1]).toBe(0x5b);
    expect(harness.caller.called).toEqual([]);
  });

  test("without configured ones any login passes where nothing else is offered, and no-auth is preferred", async () => {
    await using service = await echo();
    await using harness = await ProxyHarness.start();
    const program = await harness.program(offersLogin, login("any", "thing"));
    expect(await program.take(4)).toEqual([5, 2, 1, 0]);
    program.write(socksRequest("127.0.0.1", service.port));
    expect(await program.take(10)).toEqual(succeeded);
    const both = await harness.program(offersBoth);
    expect(await both.take(2)).toEqual([5, 0]);
    const strange = await harness.program(Uint8Array.of(5, 2, 1, 3));
    expect(await strange.take(2)).toEqual([5, 0xff]);
  });
});

describe("SOCKS4", () => {
  test("and 4a CONNECT get through", async () => {
    await using service = await echo();
    await using harness = await ProxyHarness.start();
    const at = [service.port >>> 8, service.port & 0xff];
    harness.caller.routes.set(`four.test:${service.port}`, service.port);
    for (const request of [
      Buffer.from([4, 1, ...at, 127, 0, 0, 1, ...Buffer.from("user\0")]),
      Buffer.from([4, 1, ...at, 0, 0, 0, 1, ...Buffer.from("\0four.test\0")]),
    ]) {
      const program = await harness.program(request, "hello");
      expect(await program.take(8)).toEqual([0, 0x5a, 0, 0, 0, 0, 0, 0]);
      await program.says("hello");
    }
  });

  test("failures, BIND and texts without end are refused", async () => {
    await using harness = await ProxyHarness.start();
    harness.caller.refusals.set("1.2.3.4:80", "origin-refused");
    for (const command of [1, 2]) {
      const program = await harness.program(Uint8Array.of(4, command, 0, 80, 1, 2, 3, 4, 0));
      expect((await program.take(8))[1]).toBe(0x5b);
      await program.over();
    }
    const endless = await harness.program(
      Buffer.concat([Buffer.from([4, 1, 0, 80, 1, 2, 3, 4]), Buffer.alloc(2_000, "u")]),
    );
    await endless.over();
    expect(harness.caller.called).toEqual(["1.2.3.4:80"]);
  });
});

test(
  "5,000 sockets opened and closed at once leave nothing behind",
  async () => {
    await using service = await echo();
    await using harness = await ProxyHarness.start({ listen });
    const hello = Buffer.concat([noAuth, socksRequest("127.0.0.1", service.port), Buffer.from("x")]);
    const one = async (): Promise<void> => {
      const program = await harness.program(hello);
      await program.until(() => program.bytes.length >= 13);
      program.socket.end();
      await program.until(() => program.closed);
    };
    for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 500 }, one));
    await harness.ended(5_000);
    expect(
      harness.events.every(({ end, bytesIn, bytesOut }) => end === "closed" && bytesIn + bytesOut === 2),
    ).toBe(true);
    expect(harness.proxy.sockets).toBe(0);
  },
  3 * limitMs,
);
