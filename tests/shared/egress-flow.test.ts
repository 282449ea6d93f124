import { describe, expect, test } from "bun:test";
import type { DatagramHandler, DatagramSocket, OpenDatagrams } from "../../shared/datagrams.ts";
import { egressLimits } from "../../shared/egress/limits.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { streamKinds } from "../../shared/kind.ts";
import { openDatagrams } from "../../shared/runtimes/node-datagrams.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { EgressRig, type EgressRigOptions, type Outgoing, policyOf } from "./egress-rig.ts";
import { refusedTargets, widePatterns } from "./egress-targets.ts";

const udp = { kind: streamKinds.udp };

async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** A socket that a flow has opened and a test plays. */
class FakeDatagrams implements DatagramSocket {
  readonly host = "192.0.2.1";
  readonly port = 1;
  readonly sent: string[] = [];
  isClosed = false;
  constructor(
    readonly remote: string,
    readonly handler: DatagramHandler,
  ) {}
  send(bytes: Uint8Array): void {
    this.sent.push(new TextDecoder().decode(bytes));
  }
  close(): void {
    this.isClosed = true;
  }
  answers(text: string): void {
    this.handler.message(new TextEncoder().encode(text), this.remote);
  }
}

/** A rig whose flows get fake sockets; `failing`: those to these addresses can't be opened. */
function fakeRig(options: EgressRigOptions = {}, failing: readonly string[] = []) {
  const sockets: FakeDatagrams[] = [];
  const open: OpenDatagrams = async ({ remote }, handler) => {
    const host = remote?.host ?? "";
    if (failing.includes(host)) throw new UnderpassError("origin-unreachable");
    const socket = new FakeDatagrams(`${host} ${remote?.port}`, handler);
    sockets.push(socket);
    return socket;
  };
  const clock = new VirtualClock();
  return { rig: new EgressRig({ clock, openDatagrams: open, ...options }), sockets, clock };
}

async function socketOf(sockets: readonly FakeDatagrams[], index = 0): Promise<FakeDatagrams> {
  for (;;) {
    const found = sockets[index];
    if (found !== undefined) return found;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

describe("a flow with a target", () => {
  test("carries datagrams whole both ways, of any size", async () => {
    const far = await openDatagrams(
      { host: "127.0.0.1" },
      { message: (bytes, remote) => far.send(bytes, remote) },
    );
    const rig = new EgressRig({
      openDatagrams,
      clock: systemClock,
      answers: { "echo.internal": [["127.0.0.1"]] },
    });
    const call = rig.open(`echo.internal:${far.port}`, policyOf("echo.internal:*"), udp);
    expect(await call.outcome()).toBe("opened");
    const large = "x".repeat(60_000);
    for (const text of ["one", "", large]) call.say(text);
    await call.until(() => call.datagrams.length === 3);
    expect(call.datagrams).toEqual(["one", "", large]);
    call.stream?.end();
    await call.until(() => call.hasEnded);
    expect(rig.ends).toEqual([
      { target: `echo.internal:${far.port}`, bytesIn: 60_003, bytesOut: 60_003, end: "closed" },
    ]);
    expect(rig.door.flows).toBe(0);
    far.close();
  });

  test("to any target that no wildcard opens is refused", async () => {
    for (const { target, answers = [] } of refusedTargets) {
      const { rig, sockets } = fakeRig({ resolve: async () => answers[0] ?? [] });
      expect([target, await rig.open(target, policyOf(...widePatterns), udp).outcome()]).toEqual([
        target,
        "egress-denied",
      ]);
      expect(sockets).toEqual([]);
    }
  });

  test("is connected to the address that was checked, the first that can be", async () => {
    const answers = { "dns.example": [["10.0.0.1", "2606:4700::1", "1.0.0.1", "1.0.0.2"]] };
    const { rig, sockets } = fakeRig({ answers }, ["2606:4700::1"]);
    rig.open("dns.example:53", policyOf("*:53"), udp);
    expect((await socketOf(sockets)).remote).toBe("1.0.0.1 53");
    expect(rig.lookups).toEqual(["dns.example"]);
  });

  test("to which there is no way is refused as that", async () => {
    const { rig } = fakeRig({}, ["1.1.1.1"]);
    expect(await rig.open("1.1.1.1:53", policyOf("*:53"), udp).outcome()).toBe("origin-unreachable");
    expect(rig.door.flows).toBe(0);
  });

  test("keeps what came before its socket was open, the latest of it", async () => {
    const { rig, sockets } = fakeRig();
    const call = rig.open("1.1.1.1:53", policyOf("*:53"), udp);
    const many = Array.from({ length: egressLimits.maxEarlyDatagrams + 3 }, (_, index) => `${index}`);
    // As they come in one message, before the door has got to dial.
    for (const text of many) call.stream?.datagram(new TextEncoder().encode(text));
    rig.arrive();
    const socket = await socketOf(sockets);
    await turns();
    expect(socket.sent).toEqual(many.slice(3));
  });

  test("keeps little before its socket is open, and less while it waits for a place", async () => {
    const { rig, sockets } = fakeRig();
    const policy = policyOf("*:53");
    const { maxFlowsOfOne, maxEarlyBytes, maxWaitingBytes } = egressLimits;
    const calls = Array.from({ length: maxFlowsOfOne + 1 }, () => rig.open("1.1.1.1:53", policy, udp));
    const say = (call: Outgoing | undefined, bytes: number) => {
      for (const first of "abc") call?.stream?.datagram(new TextEncoder().encode(first.padEnd(bytes)));
      rig.arrive();
    };
    say(calls.at(0), maxEarlyBytes / 2);
    say(calls.at(-1), maxWaitingBytes / 2);
    const socket = await socketOf(sockets);
    await turns();
    expect(socket.sent.map(([first]) => first)).toEqual(["b", "c"]);
    calls[0]?.stream?.reset("cancelled");
    rig.arrive();
    const waited = await socketOf(sockets, maxFlowsOfOne);
    await turns();
    expect(waited.sent.map(([first]) => first)).toEqual(["b", "c"]);
  });

  test("is reset when the network says that nobody is there, unless somebody has answered", async () => {
    const { rig, sockets } = fakeRig();
    const alone = rig.open("1.1.1.1:53", policyOf("*:53"), udp);
    (await socketOf(sockets)).handler.failed?.("refused");
    expect(await alone.until(() => alone.code !== undefined)).toBeUndefined();
    expect([alone.code, sockets[0]?.isClosed]).toEqual(["origin-refused", true]);
    const answered = rig.open("1.1.1.1:53", policyOf("*:53"), udp);
    const socket = await socketOf(sockets, 1);
    socket.answers("hello");
    socket.handler.failed?.("refused");
    socket.answers("again");
    await answered.until(() => answered.datagrams.length === 2);
    expect([answered.code, socket.isClosed]).toEqual([undefined, false]);
  });

  test("over which nothing went for a minute is over, and not before", async () => {
    const { rig, sockets, clock } = fakeRig();
    const call = rig.open("1.1.1.1:53", policyOf("*:53"), udp);
    const socket = await socketOf(sockets);
    await turns();
    clock.advance(40_000);
    call.say("still there");
    rig.arrive();
    clock.advance(40_000);
    socket.answers("yes");
    clock.advance(59_999);
    expect(socket.isClosed).toBe(false);
    clock.advance(1);
    expect(socket.isClosed).toBe(true);
    await call.until(() => call.hasEnded);
    expect(rig.ends).toMatchObject([{ bytesIn: 11, bytesOut: 3, end: "closed" }]);
    expect(clock.timers).toBe(0);
    expect(rig.door.flows).toBe(0);
    rig.arrive();
    expect(rig.openStreams).toBe(0);
  });

  test("closes a socket that is open only after its opener has gone", async () => {
    let open = (_socket: DatagramSocket): void => {};
    const opening = new Promise<DatagramSocket>((resolve) => {
      open = resolve;
    });
    const { rig } = fakeRig({ openDatagrams: () => opening });
    const call = rig.open("1.1.1.1:53", policyOf("*:53"), udp);
    await turns();
    call.stream?.reset("cancelled");
    rig.arrive();
    const socket = new FakeDatagrams("", { message() {} });
    open(socket);
    await turns();
    expect([socket.isClosed, call.isOpen, rig.door.flows]).toEqual([true, false, 0]);
  });

  test("closes its socket when its opener resets it or is gone", async () => {
    const { rig, sockets } = fakeRig();
    const policy = policyOf("*:53");
    const [reset, lost]: Outgoing[] = [
      rig.open("1.1.1.1:53", policy, udp),
      rig.open("1.1.1.1:53", policy, udp),
    ];
    await socketOf(sockets, 1);
    reset?.stream?.reset("cancelled");
    await turns();
    expect(sockets.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    expect(lost?.code).toBeUndefined();
    rig.open("1.1.1.1:53", policy, udp);
    rig.lose();
    await turns();
    expect(sockets.every(({ isClosed }) => isClosed)).toBe(true);
    expect(rig.ends.map(({ code }) => code)).toEqual(["cancelled", "link-lost", "link-lost"]);
    expect(rig.door.flows).toBe(0);
  });

  test("passes nothing on before it has said that it is open", async () => {
    const { rig } = fakeRig({
      openDatagrams: async (_options, handler) => {
        const socket = new FakeDatagrams("", handler);
        socket.answers("too early");
        return socket;
      },
    });
    const call = rig.open("1.1.1.1:53", policyOf("*:53"), udp);
    expect(await call.outcome()).toBe("opened");
    rig.arrive();
    expect(call.datagrams).toEqual([]);
  });

  test("is reset for DATA", async () => {
    const { rig } = fakeRig();
    const call = rig.open("1.1.1.1:53", policyOf("*:53"), { ...udp, early: "data" });
    expect(await call.outcome()).toBe("stream-state");
  });

  test("waits for a place when one opener has as many as it may", async () => {
    const { rig, sockets } = fakeRig();
    const policy = policyOf("*:53");
    const calls = Array.from({ length: egressLimits.maxFlowsOfOne + 1 }, () =>
      rig.open("1.1.1.1:53", policy, udp),
    );
    await socketOf(sockets, egressLimits.maxFlowsOfOne - 1);
    await turns();
    expect(rig.door.flows).toBe(egressLimits.maxFlowsOfOne);
    expect(sockets).toHaveLength(egressLimits.maxFlowsOfOne);
    calls[0]?.stream?.end();
    await socketOf(sockets, egressLimits.maxFlowsOfOne);
    expect(rig.door.flows).toBe(egressLimits.maxFlowsOfOne);
    rig.lose();
  });

  test("is not served where there is no way to send datagrams", async () => {
    const rig = new EgressRig();
    expect(await rig.open("1.1.1.1:53", policyOf("*:53"), udp).outcome()).toBe("kind-unknown");
  });
});
