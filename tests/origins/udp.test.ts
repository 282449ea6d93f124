import { describe, expect, test } from "bun:test";
import { UdpOrigin, udpOriginLimits } from "../../agent/origins/udp.ts";
import type { StreamEvent } from "../../agent/screen/events.ts";
import type { DatagramSocket } from "../../shared/datagrams.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { encodeHead, type HeadFields } from "../../shared/head.ts";
import type { StreamHandler } from "../../shared/mux/stream.ts";
import { openDatagrams } from "../../shared/runtimes/node-datagrams.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { bytesOf, FakeDatagramSocket, FakeFlow } from "../shared/fake-flow.ts";

const visitor: HeadFields = { visitor: "198.51.100.7:4000", local: "192.0.2.1:5353" };

/** An origin whose sockets are the test's: they open when it says so. */
class Bench {
  readonly clock = new VirtualClock();
  readonly events: StreamEvent[] = [];
  readonly sockets: FakeDatagramSocket[] = [];
  readonly openings: { open: () => void; fail: (error: unknown) => void }[] = [];
  readonly origin: UdpOrigin;

  constructor(host?: string) {
    this.origin = new UdpOrigin({
      clock: this.clock,
      target: { port: 53, ...(host !== undefined && { host }) },
      onStream: (event) => this.events.push(event),
      openDatagrams: (options, handler) => {
        const { promise, resolve, reject } = Promise.withResolvers<DatagramSocket>();
        const socket = new FakeDatagramSocket(options, handler);
        this.sockets.push(socket);
        this.openings.push({ open: () => resolve(socket), fail: reject });
        return promise;
      },
    });
  }

  visit(fields: HeadFields = visitor): { flow: FakeFlow; handler: StreamHandler } {
    const flow = new FakeFlow();
    const handler = this.origin.open(flow.stream, encodeHead(fields));
    if (!flow.closed) flow.handler = handler;
    return { flow, handler };
  }

  async visitOpen() {
    const { flow, handler } = this.visit();
    this.openings.at(-1)?.open();
    await Promise.resolve();
    return { flow, handler, socket: this.socket(this.sockets.length - 1) };
  }

  socket(at: number): FakeDatagramSocket {
    const socket = this.sockets[at];
    if (socket === undefined) throw new Error(`no socket ${at}`);
    return socket;
  }
}

const event = (bytesIn: number, bytesOut: number) => ({
  event: "stream" as const,
  kind: "udp" as const,
  bytesIn,
  bytesOut,
});

describe("a udp origin", () => {
  test("opens a socket of its own for each flow, to 127.0.0.1 where no host is given", async () => {
    const bench = new Bench();
    const one = await bench.visitOpen();
    const other = await bench.visitOpen();
    expect(bench.sockets.map(({ options }) => options)).toEqual([
      { remote: { host: "127.0.0.1", port: 53 } },
      { remote: { host: "127.0.0.1", port: 53 } },
    ]);
    one.handler.datagram?.(bytesOf("one"));
    other.handler.datagram?.(bytesOf("other"));
    other.socket.comes("127.0.0.1:53", "for the other");
    expect([one.socket.sent, other.socket.sent]).toEqual([["one"], ["other"]]);
    expect([one.flow.texts, other.flow.texts]).toEqual([[], ["for the other"]]);
    const named = new Bench("::1");
    named.visit();
    expect(named.socket(0).options).toEqual({ remote: { host: "::1", port: 53 } });
  });

  test("says HEAD once when the socket is open, and then sends what came before, in order", async () => {
    const bench = new Bench();
    const { flow, handler } = bench.visit();
    for (let at = 0; at < 20; at++) handler.datagram?.(bytesOf(String(at).padEnd(10_000)));
    expect(flow.heads).toBe(0);
    bench.openings[0]?.open();
    await Promise.resolve();
    handler.datagram?.(bytesOf("20"));
    expect(flow.heads).toBe(1);
    // Of many the latest.
    expect(bench.socket(0).sent.map(Number)).toEqual(Array.from({ length: 14 }, (_, at) => at + 7));
  });

  test.each([
    ["origin-not-found", new UnderpassError("origin-not-found")],
    ["origin-unreachable", new UnderpassError("origin-unreachable")],
    ["stream-failed", new Error("what?")],
  ] as const)("resets the flow when there can be no socket: %s", async (code, error) => {
    const bench = new Bench();
    const { flow, handler } = bench.visit();
    handler.datagram?.(bytesOf("lost"));
    bench.openings[0]?.fail(error);
    await Promise.resolve();
    await Promise.resolve();
    expect(flow.resetCode).toBe(code);
    expect(bench.events).toEqual([{ ...event(4, 0), end: "reset", code }]);
    expect([bench.origin.flows, bench.clock.timers]).toEqual([0, 0]);
  });

  test("answers END with END, closes the socket and tells what went", async () => {
    const bench = new Bench();
    const { flow, handler, socket } = await bench.visitOpen();
    handler.datagram?.(bytesOf("four"));
    socket.comes("127.0.0.1:53", "three");
    handler.end();
    expect([flow.ended, flow.resetCode, socket.closed]).toEqual([true, undefined, true]);
    expect(bench.events).toEqual([{ ...event(4, 5), end: "closed" }]);
    // A socket that is being closed may still bring something.
    socket.comes("127.0.0.1:53", "late");
    flow.handler.datagram?.(bytesOf("late"));
    expect([flow.texts, bench.events.length, bench.clock.timers]).toEqual([["three"], 1, 0]);
  });

  test("closes the socket of a flow that is reset", async () => {
    const bench = new Bench();
    const { handler, socket } = await bench.visitOpen();
    handler.reset("link-lost");
    expect(socket.closed).toBe(true);
    expect(bench.events).toEqual([{ ...event(0, 0), end: "reset", code: "link-lost" }]);
  });

  test("closes a socket that opens too late", async () => {
    const bench = new Bench();
    const { flow, handler } = bench.visit();
    handler.end();
    bench.openings[0]?.open();
    await Promise.resolve();
    expect([bench.socket(0).closed, flow.heads]).toEqual([true, 0]);
  });

  test("ends a flow over which nothing went for 60 s, either way", async () => {
    const bench = new Bench();
    const { flow, handler, socket } = await bench.visitOpen();
    bench.clock.advance(udpOriginLimits.idleMs - 1);
    handler.datagram?.(bytesOf("q"));
    bench.clock.advance(udpOriginLimits.idleMs - 1);
    socket.comes("127.0.0.1:53", "a");
    bench.clock.advance(udpOriginLimits.idleMs - 1);
    expect(bench.origin.flows).toBe(1);
    bench.clock.advance(1);
    expect([flow.ended, flow.resetCode, socket.closed]).toEqual([true, undefined, true]);
    expect(bench.events).toEqual([{ ...event(1, 1), end: "closed" }]);
    expect(bench.clock.timers).toBe(0);
  });

  test("goes on when the network says that nobody listens there: the service may be starting", async () => {
    const bench = new Bench();
    const { flow, handler, socket } = await bench.visitOpen();
    handler.datagram?.(bytesOf("1"));
    socket.handler.failed?.("refused");
    handler.datagram?.(bytesOf("2"));
    expect([flow.closed, flow.ended, socket.sent]).toEqual([false, false, ["1", "2"]]);
  });

  test("takes no DATA", async () => {
    const bench = new Bench();
    const { flow, handler, socket } = await bench.visitOpen();
    handler.data(bytesOf("x"));
    expect([flow.resetCode, socket.closed]).toEqual(["stream-state", true]);
    expect(bench.events).toEqual([{ ...event(0, 0), end: "reset", code: "stream-state" }]);
  });

  test.each([
    ["a target", { ...visitor, target: "192.0.2.9:53" }, undefined, "egress-denied"],
    ["another kind", visitor, 2, "kind-unknown"],
  ] as const)("refuses %s without a socket", (_, fields, kind, code) => {
    const bench = new Bench();
    const flow = new FakeFlow();
    Object.assign(flow, kind !== undefined && { kind });
    bench.origin.open(flow.stream, encodeHead(fields));
    expect([flow.resetCode, bench.sockets.length, bench.events.length]).toEqual([code, 0, 0]);
  });

  test("refuses a head that is none", () => {
    const bench = new Bench();
    const flow = new FakeFlow();
    bench.origin.open(flow.stream, Uint8Array.of(0x7f, 0, 0));
    expect([flow.resetCode, bench.sockets.length]).toEqual(["head-invalid", 0]);
  });

  test("ends flows 1 s after their last datagram when the agent leaves", async () => {
    const bench = new Bench();
    const [one, other] = [await bench.visitOpen(), await bench.visitOpen()];
    bench.clock.advance(999);
    other.handler.datagram?.(bytesOf("q"));
    bench.clock.advance(1);
    bench.origin.leave();
    expect([one.flow.ended, other.flow.ended]).toEqual([true, false]);
    bench.clock.advance(900);
    other.socket.comes("127.0.0.1:53", "a");
    bench.clock.advance(999);
    expect([other.flow.texts, other.flow.ended]).toEqual([["a"], false]);
    bench.clock.advance(1);
    expect([other.flow.ended, bench.origin.flows, bench.clock.timers]).toEqual([true, 0, 0]);
  });

  test("ends what is open when it is closed", async () => {
    const bench = new Bench();
    const { flow, socket } = await bench.visitOpen();
    const waiting = bench.visit();
    bench.origin.close();
    expect([flow.ended, waiting.flow.ended, socket.closed, bench.origin.flows]).toEqual([
      true,
      true,
      true,
      0,
    ]);
  });
});

describe("over real sockets", () => {
  async function service(port = 0): Promise<DatagramSocket> {
    const socket: DatagramSocket = await openDatagrams(
      { host: "127.0.0.1", port },
      { message: (bytes, remote) => socket.send(bytes, remote) },
    );
    return socket;
  }

  /** A flow that tells when something came on it. */
  class HeardFlow extends FakeFlow {
    #more = () => {};
    override head(): void {
      super.head();
      this.#more();
    }
    override datagram(payload: Uint8Array): boolean {
      const isTaken = super.datagram(payload);
      this.#more();
      return isTaken;
    }
    next(): Promise<void> {
      return new Promise((resolve) => {
        this.#more = resolve;
      });
    }
  }

  test("datagrams of all sizes come back whole", async () => {
    const far = await service();
    const origin = new UdpOrigin({
      ...{ clock: new VirtualClock(), target: { port: far.port }, openDatagrams },
      onStream: () => {},
    });
    const flow = new HeardFlow();
    const opened = flow.next();
    const handler = origin.open(flow.stream, encodeHead(visitor));
    await opened;
    for (const size of [0, 1, 1_500, 60_000, 65_507]) {
      const answer = flow.next();
      handler.datagram?.(new Uint8Array(size).fill(size & 0xff));
      await answer;
      const got = flow.datagrams.at(-1);
      expect(got?.length).toBe(size);
      expect(got?.every((byte) => byte === (size & 0xff))).toBe(true);
    }
    origin.close();
    far.close();
  });

  test("a service that starts later is reached by the same flow", async () => {
    const gone = await service();
    gone.close();
    const origin = new UdpOrigin({
      ...{ clock: new VirtualClock(), target: { port: gone.port }, openDatagrams },
      onStream: () => {},
    });
    const flow = new HeardFlow();
    const opened = flow.next();
    const handler = origin.open(flow.stream, encodeHead(visitor));
    await opened;
    for (const text of ["refused", "refused too"]) handler.datagram?.(bytesOf(text));
    const far = await service(gone.port);
    handler.datagram?.(bytesOf("here you are"));
    // What was refused may have been sent again.
    while (flow.texts.at(-1) !== "here you are") await flow.next();
    expect(flow.resetCode).toBeUndefined();
    origin.close();
    far.close();
  });
});
