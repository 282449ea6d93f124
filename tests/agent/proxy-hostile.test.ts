import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { proxyLimits } from "../../agent/local/proxy-limits.ts";
import { FakeProxy, type Fate, turn } from "./proxy-fake-socket.ts";
import { noAuth, socksRequest } from "./proxy-harness.ts";

const get = "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n";
const sweepMs = proxyLimits.sweepMs + 1;

describe("a slow loris", () => {
  test.each([
    ["says nothing", []],
    ["stops within the methods", [[5, 2, 0]]],
    ["stops after the methods", [[...noAuth]]],
    [
      "stops within the login",
      [
        [5, 1, 2],
        [1, 2, 65],
      ],
    ],
    ["stops within the request", [[...noAuth], [5, 1, 0, 3, 9]]],
    ["stops within SOCKS4", [[4, 1, 0, 80, 1, 2, 3, 4, 65]]],
    ["stops within a head", [[...Buffer.from("GET http://a.test/ HTTP/1.1\r\nHost:")]]],
  ])("that %s is let go after 10 s", async (_what, pieces) => {
    const proxy = await FakeProxy.start();
    const socket = proxy.socket();
    for (const piece of pieces) socket.says(Uint8Array.from(piece));
    proxy.clock.advance(proxyLimits.handshakeMs - 1);
    expect(socket.over).toBe(false);
    proxy.clock.advance(1 + sweepMs);
    expect(socket.over).toBe(true);
    // One that was told by an answer gets a while to read it.
    proxy.clock.advance(proxyLimits.lingerMs + sweepMs);
    await turn();
    expect(proxy.running.sockets).toBe(0);
    expect(proxy.clock.timers).toBe(0);
    expect(proxy.called).toEqual([]);
  });

  test("that sends a byte now and then gains no time by it", async () => {
    const proxy = await FakeProxy.start();
    const socks = proxy.socket();
    const http = proxy.socket();
    for (const byte of [5, 200, 0, 0, 0, 0, 0, 0, 0, 0]) {
      socks.says(Uint8Array.of(byte));
      http.says("G");
      proxy.clock.advance(1_200);
    }
    expect([socks.over, http.over]).toEqual([true, true]);
    expect(http.text).toStartWith("HTTP/1.1 408 ");
  });

  test("between two requests an HTTP socket may be idle for longer, but not for ever", async () => {
    const proxy = await FakeProxy.start();
    proxy.fate = "origin-refused";
    const socket = proxy.socket();
    socket.says(get);
    await turn();
    expect(socket.text).toStartWith("HTTP/1.1 502 ");
    proxy.clock.advance(proxyLimits.idleMs - 1);
    expect(socket.over).toBe(false);
    proxy.clock.advance(1 + sweepMs);
    expect(socket.over).toBe(true);
  });

  test("that stops within a later head has 10 s from its first byte", async () => {
    const proxy = await FakeProxy.start();
    proxy.fate = "origin-refused";
    const socket = proxy.socket();
    socket.says(get);
    await turn();
    proxy.clock.advance(proxyLimits.idleMs / 2);
    socket.says("GET http");
    proxy.clock.advance(proxyLimits.handshakeMs - 1);
    expect(socket.over).toBe(false);
    proxy.clock.advance(1 + sweepMs);
    expect(socket.text).toContain("HTTP/1.1 408 ");
  });

  test("whose upload never ends after its answer is let go", async () => {
    const proxy = await FakeProxy.start();
    const socket = proxy.socket();
    socket.says("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n123");
    proxy.ends[0]?.says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    proxy.clock.advance(proxyLimits.idleMs + sweepMs);
    expect(socket.over).toBe(true);
    proxy.clock.advance(proxyLimits.finishMs + sweepMs);
    await turn();
    expect(proxy.ends[0]?.abortedWith).toBe("cancelled");
    expect(proxy.running.sockets).toBe(0);
  });

  test("a program that reads the end of its answer slowly is given its time, and the proxy's end waits for it", async () => {
    const proxy = await FakeProxy.start();
    const socket = proxy.socket();
    socket.says("GET http://a.test/ HTTP/1.0\r\n\r\n");
    proxy.ends[0]?.says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect(socket.ended).toBe(true);
    proxy.clock.advance(600_000);
    void proxy.running.close(60_000);
    await turn();
    expect(socket.destroyed).toBe(false);
    proxy.clock.advance(60_000);
    expect(socket.destroyed).toBe(true);
  });

  test("a call that is waited for is given its time", async () => {
    const proxy = await FakeProxy.start();
    const sockets = [proxy.socket(), proxy.socket(), proxy.socket()];
    sockets[0]?.says(Buffer.concat([noAuth, socksRequest("a.test", 80)]));
    sockets[1]?.says(get);
    sockets[2]?.says("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    proxy.clock.advance(600_000);
    expect(sockets.map(({ over }) => over)).toEqual([false, false, false]);
  });
});

describe("bounds", () => {
  test("as many sockets as may be open, and one more is broken off", async () => {
    const proxy = await FakeProxy.start();
    const sockets = Array.from({ length: proxyLimits.maxSockets }, () => proxy.socket());
    const one = proxy.socket();
    expect(one.destroyed).toBe(true);
    expect(sockets.every(({ over }) => !over)).toBe(true);
    sockets[0]?.breaks();
    expect(proxy.socket().over).toBe(false);
  });

  test.each([
    ["SOCKS", Buffer.concat([noAuth, socksRequest("a.test", 80)])],
    ["CONNECT", Buffer.from("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n")],
    ["pipelined requests", Buffer.from(get)],
  ])(
    "what comes ahead of the answer (%s) pauses the socket, and is read on after it",
    async (_what, first) => {
      const proxy = await FakeProxy.start();
      proxy.fate = "silence";
      const socket = proxy.socket();
      socket.says(first);
      socket.says(Buffer.alloc(proxyLimits.maxEarlyBytes));
      expect(socket.paused).toBe(false);
      socket.says(Buffer.alloc(1));
      expect(socket.paused).toBe(true);
      proxy.ends[0]?.handler.aborted("origin-refused");
      expect(socket.paused).toBe(false);
      // After a refusal little more is read.
      for (let i = 0; i < 300; i++) socket.says(Buffer.alloc(65_536));
      expect(socket.destroyed).toBe(true);
    },
  );

  test.each([
    ["SOCKS", Buffer.concat([noAuth, socksRequest("a.test", 80)])],
    ["CONNECT", Buffer.from("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n")],
  ])("a call that is answered lets a paused socket (%s) go on", async (_what, first) => {
    const proxy = await FakeProxy.start();
    proxy.fate = "open";
    const socket = proxy.socket();
    socket.says(first);
    socket.says(Buffer.alloc(proxyLimits.maxEarlyBytes + 1, "e"));
    expect(socket.paused).toBe(true);
    await turn();
    expect(socket.paused).toBe(false);
    expect(proxy.ends[0]?.text).toHaveLength(proxyLimits.maxEarlyBytes + 1);
  });

  test("a far side that takes nothing pauses the upload, a program that takes nothing is told on", async () => {
    const proxy = await FakeProxy.start();
    const socket = proxy.socket();
    socket.says("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n");
    const [end] = proxy.ends;
    if (end === undefined) throw new Error("nothing was called");
    end.weighs = proxyLimits.farHighBytes + 1;
    socket.says(Buffer.alloc(10));
    expect(socket.paused).toBe(true);
    end.drains(proxyLimits.farLowBytes + 1);
    expect(socket.paused).toBe(true);
    end.drains(proxyLimits.farLowBytes);
    expect(socket.paused).toBe(false);
    end.weighs = proxyLimits.farHighBytes + 1;
    socket.says(Buffer.alloc(10));
    expect(socket.paused).toBe(true);
    end.drains(0);
    socket.queued = 70_000;
    end.says("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome");
    expect(end.heldBytes).toBe(70_000);
    socket.queued = 5;
    socket.handler.drained();
    expect(end.heldBytes).toBe(5);
  });

  test("1xx heads are not kept for a program that does not read, and endless ones end the exchange", async () => {
    const proxy = await FakeProxy.start();
    const socket = proxy.socket();
    socket.says(get);
    socket.queued = proxyLimits.maxQueuedInterimBytes + 1;
    for (let i = 0; i < 40; i++) proxy.ends[0]?.says("HTTP/1.1 103 Early Hints\r\n\r\n");
    expect(socket.text).not.toContain("103");
    expect(socket.text).toStartWith("HTTP/1.1 502 ");
    expect(proxy.ends[0]?.abortedWith).toBe("origin-invalid");
  });

  test("an origin that does not close after its answer is broken off after a while, and not before", async () => {
    const proxy = await FakeProxy.start();
    const socket = proxy.socket();
    const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (const closes of ["with it", "later", "never"]) {
      socket.says(get);
      const end = proxy.ends.at(-1);
      end?.says(closes === "with it" ? "HTTP/1.1 200 OK\r\n\r\nuntil the end" : ok);
      if (closes !== "never") end?.handler.ended();
      expect([end?.ended, end?.abortedWith]).toEqual([true, undefined]);
      proxy.clock.advance(proxyLimits.partingMs);
      expect(end?.abortedWith).toBe(closes === "never" ? "no-error" : undefined);
    }
    expect(proxy.events.map(({ end }) => end)).toEqual(["closed", "closed", "closed"]);
  });
});

describe("whatever a program and a far side say", () => {
  /** Pieces of the protocols, whole and broken, among noise. */
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.constantFrom<Uint8Array>(
      noAuth,
      Uint8Array.of(5, 2, 0, 2),
      Uint8Array.of(1, 1, 65, 1, 66),
      Uint8Array.of(5, 1, 0, 1, 10, 0, 0, 1, 0, 80),
      Uint8Array.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0),
      Uint8Array.of(4, 1, 0, 80, 0, 0, 0, 1, 0, 97, 0),
      socksRequest("a.test", 80),
    ),
    fc
      .constantFrom(
        get,
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\nX-T: 1\r\n\r\n",
        "hello",
        "\r\n",
      )
      .map((text) => Buffer.from(text)),
  );
  const answerPiece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
    fc.constantFrom(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      "HTTP/1.1 200 OK\r\n\r\n",
      "HTTP/1.0 200 OK\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
      "3\r\nabc\r\n",
      "0\r\n\r\n",
    ),
  );
  type Deed =
    | { readonly does: "says"; readonly bytes: Uint8Array; readonly cut: number }
    | { readonly does: "far says"; readonly text: string }
    | { readonly does: "far ends" | "far breaks" | "half-closes" | "waits" | "turns" };
  const deed: fc.Arbitrary<Deed> = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ does: fc.constant("says" as const), bytes: piece, cut: fc.nat(50) }),
    },
    { weight: 3, arbitrary: fc.record({ does: fc.constant("far says" as const), text: answerPiece }) },
    {
      weight: 2,
      arbitrary: fc.record({
        does: fc.constantFrom(
          "far ends" as const,
          "far breaks" as const,
          "half-closes" as const,
          "waits" as const,
          "turns" as const,
        ),
      }),
    },
  );
  const fate = fc.constantFrom<Fate>("open", "open", "silence", "origin-refused", "egress-denied");

  test("it never throws, and in the end nothing is left", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(deed, { maxLength: 14 }),
        fate,
        fc.boolean(),
        async (deeds, chosen, guarded) => {
          const proxy = await FakeProxy.start(guarded ? { credentials: { user: "A", password: "B" } } : {});
          proxy.fate = chosen;
          const socket = proxy.socket();
          /** Ends that the far side has ended or broken itself. */
          const ended = new Set<unknown>();
          const broken = new Set<unknown>();
          for (const step of deeds) {
            const end = proxy.ends.at(-1);
            const live = end !== undefined && end.abortedWith === undefined && !broken.has(end);
            if (step.does === "says") {
              socket.says(step.bytes.subarray(0, step.cut));
              socket.says(step.bytes.subarray(step.cut));
            } else if (step.does === "far says") {
              if (live && !ended.has(end)) end.says(step.text);
            } else if (step.does === "far ends") {
              if (live && !ended.has(end)) end.handler.ended();
              ended.add(end);
            } else if (step.does === "far breaks") {
              if (live) end.handler.aborted("origin-closed");
              broken.add(end);
            } else if (step.does === "half-closes") socket.halfCloses();
            else if (step.does === "waits") proxy.clock.advance(3_000);
            else await turn();
          }
          await turn();
          // It closes or answers, or a call is under way.
          proxy.clock.advance(proxyLimits.idleMs + 2 * sweepMs);
          const idle = proxy.called.length === 0;
          if (idle) expect(socket.over).toBe(true);
          socket.breaks();
          await turn();
          proxy.clock.advance(proxyLimits.lingerMs + sweepMs);
          expect(proxy.running.sockets).toBe(0);
          expect(proxy.clock.timers).toBe(0);
          expect(proxy.events.length).toBe(proxy.called.length);
          for (const end of proxy.ends)
            expect(
              end.abortedWith !== undefined ||
                broken.has(end) ||
                chosen.includes("-") ||
                (end.ended && ended.has(end)),
            ).toBe(true);
        },
      ),
      { numRuns: 3_000 },
    );
  }, 60_000);
});
