import { afterEach, describe, expect, test } from "bun:test";
import { egressLimits } from "../../shared/egress/limits.ts";
import { EgressPolicy } from "../../shared/egress/policy.ts";
import { type Code, UnderpassError } from "../../shared/errors.ts";
import { limits } from "../../shared/mux/limits.ts";
import { dial, listen } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import type { DialFailure, Listener, Socket, SocketHandler } from "../../shared/socket.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { dialOf, EgressRig, policyOf, turns } from "./egress-rig.ts";

const listeners: Listener[] = [];
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.close();
});

const silent: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };

/** A far end on loopback that hands each socket to `serve`; its port. */
async function farEnd(serve: (socket: Socket) => Partial<SocketHandler>): Promise<number> {
  const listener = await listen({ host: "127.0.0.1", port: 0 }, (socket) => {
    socket.handler = { ...silent, ...serve(socket) };
  });
  listeners.push(listener);
  return listener.port;
}

const echo = (socket: Socket): Partial<SocketHandler> => ({
  data: (bytes) => void socket.write(bytes),
  ended: () => socket.end(),
});

describe("a stream with a target", () => {
  test("is a pipe to it: what came early, half-close both ways, and bytes counted", async () => {
    const port = await farEnd(echo);
    const rig = new EgressRig({ dial, clock: systemClock, answers: { "echo.internal": [["127.0.0.1"]] } });
    const call = rig.open(`ECHO.internal.:${port}`, policyOf(`echo.internal:${port}`), { early: "early " });
    expect(await call.outcome()).toBe("opened");
    call.write("and late");
    call.stream?.end();
    await call.until(() => call.hasEnded);
    expect(call.text).toBe("early and late");
    while (rig.ends.length === 0) await turns();
    expect(rig.ends).toEqual([{ target: `echo.internal:${port}`, bytesIn: 14, bytesOut: 14, end: "closed" }]);
    expect(rig.door.dials).toBe(0);
  });

  test("that is an address is dialled without a look-up", async () => {
    const port = await farEnd(echo);
    const rig = new EgressRig({ dial, clock: systemClock });
    const call = rig.open(`0x7f.1:${port}`, policyOf(`127.0.0.0/8:${port}`));
    expect(await call.outcome()).toBe("opened");
    expect(rig.lookups).toEqual([]);
  });

  test("whose opener ended before it was open gets that end, and gives its answer", async () => {
    const port = await farEnd((socket) => {
      let got = "";
      return {
        data: (bytes) => {
          got += new TextDecoder().decode(bytes);
        },
        ended: () => {
          socket.write(new TextEncoder().encode(`got ${got}`));
          socket.end();
        },
      };
    });
    const rig = new EgressRig({ dial, clock: systemClock });
    const call = rig.open(`127.0.0.1:${port}`, policyOf("127.0.0.1:*"), { early: "all of it" });
    call.stream?.end();
    await call.until(() => call.hasEnded);
    expect(call.text).toBe("got all of it");
  });

  test("that the far end breaks off is reset, and one that the opener resets breaks the far end", async () => {
    const gone: boolean[] = [];
    const port = await farEnd((socket) => ({
      data: (bytes) => {
        if (bytes[0] === 0x78) socket.destroy();
      },
      closed: ({ reset }) => void gone.push(reset),
    }));
    const rig = new EgressRig({ dial, clock: systemClock });
    const policy = policyOf("127.0.0.1:*");
    const broken = rig.open(`127.0.0.1:${port}`, policy, { early: "x" });
    await broken.until(() => broken.code !== undefined);
    expect(broken.code).toBe("origin-closed");
    expect(rig.ends.at(-1)).toMatchObject({ bytesIn: 1, end: "reset", code: "origin-closed" });
    const dropped = rig.open(`127.0.0.1:${port}`, policy);
    expect(await dropped.outcome()).toBe("opened");
    dropped.stream?.reset("cancelled");
    while (gone.length < 2) await turns();
    expect(gone[1]).toBe(true);
    expect(rig.ends.at(-1)).toMatchObject({ end: "reset", code: "cancelled" });
  });

  test("at a port where nobody listens is refused as that", async () => {
    const port = await farEnd(echo);
    listeners.pop()?.close();
    const rig = new EgressRig({ dial, clock: systemClock });
    expect(await rig.open(`127.0.0.1:${port}`, policyOf("127.0.0.1:*")).outcome()).toBe("origin-refused");
    expect(rig.ends).toMatchObject([{ end: "reset", code: "origin-refused", bytesIn: 0, bytesOut: 0 }]);
  });
});

describe("the look-up", () => {
  test("is done once, and the socket is dialled at the address that was checked (DNS rebinding)", async () => {
    const rig = new EgressRig({ answers: { "rebind.example": [["93.184.215.14"], ["127.0.0.1"]] } });
    rig.open("rebind.example:80", policyOf("*:80"));
    const { host, port } = await dialOf(rig);
    expect([host, port]).toEqual(["93.184.215.14", 80]);
    expect(rig.lookups).toEqual(["rebind.example"]);
    // The next stream looks again, and is judged by what it finds.
    expect(await rig.open("rebind.example:80", policyOf("*:80")).outcome()).toBe("egress-denied");
    expect(rig.dials).toHaveLength(1);
  });

  test("that gives a private address first and a public one later is refused, not tried again", async () => {
    const rig = new EgressRig({ answers: { "rebind.example": [["10.0.0.1"], ["93.184.215.14"]] } });
    expect(await rig.open("rebind.example:80", policyOf("*:80")).outcome()).toBe("egress-denied");
    expect(rig.lookups).toHaveLength(1);
  });

  test("with mixed answers leaves the permitted addresses, in their order, and no more than eight", async () => {
    const answers = [
      "10.0.0.1",
      "1.0.0.1",
      "::1",
      "169.254.169.254",
      "2606:4700::1",
      "::ffff:127.0.0.1",
      "::ffff:1.0.0.2",
    ];
    for (let last = 3; last < 20; last++) answers.push(`1.0.0.${last}`);
    const rig = new EgressRig({ answers: { "mixed.example": [answers] } });
    const call = rig.open("mixed.example:443", policyOf("*:443"));
    for (let index = 0; index < egressLimits.maxAddresses; index++)
      (await dialOf(rig, index)).handler.failed("refused", "");
    expect(await call.outcome()).toBe("origin-refused");
    const dialled = rig.dials.map(({ host }) => host);
    expect(dialled).toEqual([
      "1.0.0.1",
      "2606:4700::1",
      "1.0.0.2",
      "1.0.0.3",
      "1.0.0.4",
      "1.0.0.5",
      "1.0.0.6",
      "1.0.0.7",
    ]);
  });

  test("for a range of addresses leaves what is in the range", async () => {
    const rig = new EgressRig({ answers: { "db.internal": [["10.1.0.1", "10.2.0.1", "1.1.1.1"]] } });
    const call = rig.open("db.internal:5432", policyOf("10.2.0.0/16:5432", "*:443"));
    const first = await dialOf(rig);
    expect(first.host).toBe("10.2.0.1");
    first.handler.failed("refused", "");
    expect(await call.outcome()).toBe("origin-refused");
    expect(rig.dials).toHaveLength(1);
  });

  const failed = (code: Code) => [new UnderpassError(code)];
  test.each([
    ["that finds no such name", failed("origin-not-found"), "origin-not-found"],
    ["that finds a name without addresses", [[]], "origin-not-found"],
    ["that takes too long", failed("origin-timeout"), "origin-timeout"],
    ["that nobody answers", failed("origin-unreachable"), "origin-unreachable"],
    ["that breaks", [new Error("boom")], "origin-unreachable"],
  ] as const)(
    "%s is told as that where the name is granted, and as denied where it is not",
    async (_, answer, code) => {
      const rig = new EgressRig({ answers: { "some.example": answer } });
      expect(await rig.open("some.example:443", policyOf("*.example:443")).outcome()).toBe(code);
      expect(await rig.open("some.example:443", policyOf("10.0.0.0/8:443")).outcome()).toBe("egress-denied");
      expect(rig.dials).toEqual([]);
    },
  );

  test("that never ends takes its place from others of its subject alone, also when it is given up", async () => {
    const asked: string[] = [];
    const answers: (() => void)[] = [];
    const resolve = (name: string) => {
      asked.push(name);
      return new Promise<string[]>((done) => answers.push(() => done(["1.1.1.1"])));
    };
    const rig = new EgressRig({ resolve });
    const greedy = policyOf("*:443");
    const share = egressLimits.maxLookUpsOfOne;
    for (let round = 0; round < 2; round++) {
      const calls = Array.from({ length: share + 1 }, (_, index) =>
        rig.open(`n${index}.example:443`, greedy),
      );
      await turns();
      if (round === 0) for (const call of calls) call.stream?.reset("cancelled");
    }
    await turns();
    expect(asked).toHaveLength(share);
    rig.open("other.example:443", policyOf("*:443"));
    await turns();
    expect(asked.at(-1)).toBe("other.example");
    // A place that is free again is for the next that still waits.
    answers[0]?.();
    await turns();
    expect(asked).toHaveLength(share + 2);
    rig.lose();
    expect(rig.door.dials).toBe(0);
  });

  test("is not done for a target whose text is denied", async () => {
    const rig = new EgressRig({ answers: { "some.example": [["1.1.1.1"]] } });
    expect(await rig.open("some.example:443", policyOf("other.example:443", "10.0.0.0/8:80")).outcome()).toBe(
      "egress-denied",
    );
    expect(await rig.open("some.example:443", policyOf()).outcome()).toBe("egress-denied");
    expect(rig.lookups).toEqual([]);
  });
});

describe("the dial", () => {
  const two = { "two.example": [["1.0.0.1", "1.0.0.2"]] };

  test.each<[DialFailure, DialFailure, Code]>([
    ["refused", "unreachable", "origin-refused"],
    ["unreachable", "refused", "origin-refused"],
    ["timeout", "unreachable", "origin-timeout"],
    ["timeout", "refused", "origin-refused"],
    ["unreachable", "unreachable", "origin-unreachable"],
    ["failed", "failed", "origin-unreachable"],
    ["no-socket", "unreachable", "too-many-streams"],
    ["no-socket", "timeout", "origin-timeout"],
  ])("of two addresses that fail with %s and %s is told as %s and %s", async (first, second, code) => {
    const rig = new EgressRig({ answers: two });
    const call = rig.open("two.example:443", policyOf("*:443"));
    (await dialOf(rig)).handler.failed(first, "");
    (await dialOf(rig, 1)).handler.failed(second, "");
    expect(await call.outcome()).toBe(code);
    expect(rig.door.dials).toBe(0);
  });

  test("is not begun, nor its name looked up, while there is no socket for it", async () => {
    let isFull = true;
    const rig = new EgressRig({ answers: two, isFull: () => isFull });
    expect(await rig.open("two.example:443", policyOf("*:443")).outcome()).toBe("too-many-streams");
    expect(await rig.open("two.example:443", policyOf("other.example:443")).outcome()).toBe("egress-denied");
    expect([rig.lookups, rig.dials.length, rig.door.dials]).toEqual([[], 0, 0]);
    isFull = false;
    rig.open("two.example:443", policyOf("*:443"));
    expect((await dialOf(rig)).host).toBe("1.0.0.1");
    rig.lose();
  });

  test("gives each address its share of ten seconds, and all of them no more", async () => {
    const clock = new VirtualClock();
    const rig = new EgressRig({ answers: two, clock });
    const call = rig.open("two.example:443", policyOf("*:443"));
    const first = await dialOf(rig);
    expect(first.timeoutMs).toBe(5_000);
    clock.advance(1_000);
    first.handler.failed("refused", "");
    const second = await dialOf(rig, 1);
    expect(second.timeoutMs).toBe(9_000);
    clock.advance(8_999);
    expect(call.code).toBeUndefined();
    clock.advance(1);
    expect(await call.outcome()).toBe("origin-timeout");
    expect(second.cancelled).toBe(true);
    expect(clock.timers).toBe(0);
  });

  test("that takes too long is told as that, also where only a range grants it", async () => {
    const clock = new VirtualClock();
    const rig = new EgressRig({ answers: { "db.internal": [["10.2.0.1"]] }, clock });
    const call = rig.open("db.internal:5432", policyOf("10.2.0.0/16:5432"));
    await dialOf(rig);
    clock.advance(10_000);
    expect(await call.outcome()).toBe("origin-timeout");
  });

  test("and the look-up share the ten seconds", async () => {
    const clock = new VirtualClock();
    const never = new Promise<readonly string[]>(() => {});
    const rig = new EgressRig({ clock, answers: { "slow.example": [] }, resolve: () => never });
    const call = rig.open("slow.example:443", policyOf("*:443"));
    await turns();
    clock.advance(10_000);
    expect(await call.outcome()).toBe("origin-timeout");
    expect(rig.door.dials).toBe(0);
  });

  test("is given up when the opener resets, or its session is gone, whatever comes after", async () => {
    for (const how of ["reset", "lost"] as const) {
      const rig = new EgressRig();
      const call = rig.open("1.1.1.1:443", policyOf("*:443"), { early: "x" });
      const begun = await dialOf(rig);
      if (how === "reset") call.stream?.reset("cancelled");
      else rig.lose();
      await turns();
      expect(begun.cancelled).toBe(true);
      expect(rig.ends).toMatchObject([
        { end: "reset", code: how === "reset" ? "cancelled" : "link-lost", bytesIn: 0 },
      ]);
      expect(rig.door.dials).toBe(0);
      begun.handler.failed("refused", "");
      await turns();
      expect(rig.ends).toHaveLength(1);
    }
  });

  test("leaves what comes meanwhile in the credit: a window at most", async () => {
    const port = await farEnd(echo);
    let go = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const rig = new EgressRig({
      clock: systemClock,
      dial: (target, timeoutMs, handler) => {
        void gate.then(() => dial(target, timeoutMs, handler));
        return () => {};
      },
    });
    const size = 4 * limits.initialWindowBytes;
    const call = rig.open(`127.0.0.1:${port}`, policyOf("127.0.0.1:*"));
    call.write("x".repeat(size));
    await turns();
    const waiting = call.stream?.queued ?? 0;
    expect(size - waiting).toBeGreaterThan(limits.initialWindowBytes / 2);
    expect(size - waiting).toBeLessThanOrEqual(limits.initialWindowBytes);
    go();
    await call.until(() => call.text.length === size);
    expect(call.text).toBe("x".repeat(size));
  });

  test("waits for a place when as many are under way as may be, and one opener does not take them all", async () => {
    const rig = new EgressRig();
    const other = policyOf("*:443");
    // Two sessions of one subject.
    const greedy = [new EgressPolicy(other.patterns, "alice"), new EgressPolicy(other.patterns, "alice")];
    const calls = Array.from({ length: egressLimits.maxDialsOfOne + 2 }, (_, index) =>
      rig.open("1.1.1.1:443", greedy[index % 2] ?? other),
    );
    await turns();
    expect(rig.dials).toHaveLength(egressLimits.maxDialsOfOne);
    rig.open("1.1.1.2:443", other);
    await turns();
    expect(rig.dials.at(-1)?.host).toBe("1.1.1.2");
    expect(rig.door.dials).toBe(egressLimits.maxDialsOfOne + 1);
    // One that gives up waiting is not dialled; the place of one that fails goes to the next.
    calls.at(-2)?.stream?.reset("cancelled");
    await turns();
    rig.dials[0]?.handler.failed("refused", "");
    await turns();
    expect(rig.dials).toHaveLength(egressLimits.maxDialsOfOne + 2);
    expect(await calls[0]?.outcome()).toBe("origin-refused");
    rig.lose();
    expect(rig.door.dials).toBe(0);
  });

  test("waits for its place no longer than for an answer", async () => {
    const clock = new VirtualClock();
    const rig = new EgressRig({ clock });
    const policy = policyOf("*:443");
    const calls = Array.from({ length: egressLimits.maxDialsOfOne + 1 }, () =>
      rig.open("1.1.1.1:443", policy),
    );
    await turns();
    clock.advance(egressLimits.openTimeoutMs);
    const outcomes = new Set(await Promise.all(calls.map((call) => call.outcome())));
    expect([...outcomes]).toEqual(["origin-timeout"]);
    expect(rig.door.dials).toBe(0);
    expect(rig.dials).toHaveLength(egressLimits.maxDialsOfOne);
  });
});

describe("the door", () => {
  test("takes a public address of its own machine for loopback", async () => {
    const isOwn = (address: string, port: number) => address === "93.184.215.14" && port !== 443;
    const rig = new EgressRig({ isOwn, answers: { "me.example": [["93.184.215.14"]] } });
    expect(await rig.open("me.example:22", policyOf("*:*")).outcome()).toBe("egress-denied");
    expect(await rig.open("93.184.215.14:22", policyOf("*:*")).outcome()).toBe("egress-denied");
    expect(rig.dials).toEqual([]);
    rig.open("me.example:443", policyOf("*:*"));
    expect((await dialOf(rig)).host).toBe("93.184.215.14");
    rig.open("me.example:22", policyOf("me.example:22"));
    expect((await dialOf(rig, 1)).port).toBe(22);
  });

  test("refuses a stream without a target, or of a kind that has none", async () => {
    const rig = new EgressRig();
    expect(await rig.open(undefined, policyOf("*:*")).outcome()).toBe("head-invalid");
    expect(await rig.open("1.1.1.1:443", policyOf("*:*"), { kind: 1 }).outcome()).toBe("kind-unknown");
    expect(rig.dials).toEqual([]);
  });
});
