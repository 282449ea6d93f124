import { describe, expect, test } from "bun:test";
import { type UdpFlowEnd, UdpIngress, udpLimits } from "../../relay/ingress/udp.ts";
import { decodeHead } from "../../shared/head.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { openDatagrams } from "../../shared/runtimes/node-datagrams.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { bytesOf, FakeDatagramSocket, FakeFlow } from "../shared/fake-flow.ts";

/** A port with a fake socket, and agents that take streams as the test wishes. */
class Bench {
  readonly clock = new VirtualClock();
  readonly flows: FakeFlow[] = [];
  readonly heads: unknown[] = [];
  readonly ends: UdpFlowEnd[] = [];
  /** Streams that agents take still. */
  room = Number.POSITIVE_INFINITY;
  asked = 0;

  private constructor(
    readonly socket: { current: FakeDatagramSocket | undefined },
    public ingress: UdpIngress | undefined,
  ) {}

  static async start(): Promise<Bench> {
    const bench = new Bench({ current: undefined }, undefined);
    bench.ingress = await UdpIngress.open({
      clock: bench.clock,
      address: { host: "192.0.2.1", port: 5_353 },
      openDatagrams: async (options, handler) => {
        bench.socket.current = new FakeDatagramSocket(options, handler);
        return bench.socket.current;
      },
      open: (fields, handler) => bench.open(fields, handler),
      onFlow: (end) => bench.ends.push(end),
    });
    return bench;
  }

  open(fields: Uint8Array, handler: StreamHandler): Stream | undefined {
    this.asked++;
    if (this.flows.length >= this.room) return undefined;
    const flow = new FakeFlow();
    flow.handler = handler;
    this.flows.push(flow);
    const { visitor, local } = decodeHead(fields) ?? {};
    this.heads.push({ visitor, local });
    return flow.stream;
  }

  get port(): FakeDatagramSocket {
    if (this.socket.current === undefined) throw new Error("no socket");
    return this.socket.current;
  }
  get relay(): UdpIngress {
    if (this.ingress === undefined) throw new Error("no ingress");
    return this.ingress;
  }
  flow(at: number): FakeFlow {
    const flow = this.flows[at];
    if (flow === undefined) throw new Error(`no flow ${at}`);
    return flow;
  }
}

const anna = "198.51.100.7:4000";
const ben = "[2001:db8::7]:4000";

describe("the public port of a udp tunnel", () => {
  test("makes one flow of each visitor's address and port, and says whose it is", async () => {
    const bench = await Bench.start();
    bench.port.comes(anna, "a1");
    bench.port.comes(ben, "b1");
    bench.port.comes(anna, "a2");
    bench.port.comes("198.51.100.7:4001", "c1");
    expect(bench.flows.map(({ texts }) => texts)).toEqual([["a1", "a2"], ["b1"], ["c1"]]);
    expect(bench.heads[0]).toEqual({ visitor: anna, local: "192.0.2.1:5353" });
    expect(bench.heads[1]).toEqual({ visitor: ben, local: "192.0.2.1:5353" });
  });

  test("sends what an agent answers to the flow's visitor", async () => {
    const bench = await Bench.start();
    bench.port.comes(anna, "a1");
    bench.port.comes(ben, "b1");
    bench.flow(0).handler.head(new Uint8Array(0));
    bench.flow(0).handler.datagram?.(bytesOf("for anna"));
    bench.flow(1).handler.datagram?.(bytesOf("for ben"));
    bench.flow(1).handler.datagram?.(bytesOf(""));
    expect(bench.port.sent).toEqual([`${anna} for anna`, `${ben} for ben`, `${ben}`]);
  });

  test.each([
    ["END", (handler: StreamHandler) => handler.end(), undefined],
    ["RESET", (handler: StreamHandler) => handler.reset("origin-not-found"), "origin-not-found"],
    ["DATA", (handler: StreamHandler) => handler.data(bytesOf("x")), "stream-state"],
  ] as const)(
    "ends a flow with %s of the agent, tells it once, and makes another for the next datagram",
    async (_, act, code) => {
      const bench = await Bench.start();
      bench.port.comes(anna, "four");
      const { handler } = bench.flow(0);
      handler.datagram?.(bytesOf("three"));
      bench.clock.advance(5);
      act(handler);
      expect(bench.ends).toEqual([
        { visitor: anna, bytesIn: 4, bytesOut: 5, ms: 5, ...(code !== undefined && { code }) },
      ]);
      expect([bench.flow(0).ended, bench.flow(0).resetCode]).toEqual([
        code === undefined,
        code === "stream-state" ? "stream-state" : undefined,
      ]);
      expect(bench.relay.flows).toBe(0);
      bench.flow(0).handler.datagram?.(bytesOf("late"));
      bench.port.comes(anna, "again");
      expect(bench.flow(1).texts).toEqual(["again"]);
      expect(bench.port.sent).toEqual([`${anna} three`]);
    },
  );

  test("ends a flow over which nothing went for 60 s, whichever way, and has no timer when all are gone", async () => {
    const bench = await Bench.start();
    bench.port.comes(anna, "a");
    bench.clock.advance(10_000);
    bench.port.comes(ben, "b");
    bench.clock.advance(udpLimits.idleMs - 10_001);
    expect(bench.ends).toEqual([]);
    bench.flow(0).handler.datagram?.(bytesOf("alive"));
    bench.clock.advance(10_000);
    expect(bench.ends.length).toBe(0);
    bench.clock.advance(1);
    expect(bench.ends.map(({ visitor, code }) => [visitor, code])).toEqual([[ben, undefined]]);
    expect([bench.flow(1).ended, bench.flow(1).resetCode, bench.flow(0).ended]).toEqual([
      true,
      undefined,
      false,
    ]);
    bench.clock.advance(udpLimits.idleMs);
    expect([bench.relay.flows, bench.clock.timers]).toEqual([0, 0]);
  });

  test("ends the flow that is silent longest when there are too many", async () => {
    const bench = await Bench.start();
    for (let at = 0; at < udpLimits.maxFlows; at++) bench.port.comes(`198.51.100.7:${at + 1}`, "x");
    bench.port.comes("198.51.100.7:1", "still here");
    bench.port.comes(anna, "one too many");
    expect(bench.relay.flows).toBe(udpLimits.maxFlows);
    expect(bench.flows.filter(({ ended }) => ended).length).toBe(1);
    expect(bench.flow(1).ended).toBe(true);
    expect(bench.ends.map(({ visitor }) => visitor)).toEqual(["198.51.100.7:2"]);
  });

  test("closes with its flows, and hears nothing more", async () => {
    const bench = await Bench.start();
    bench.port.comes(anna, "a");
    bench.relay.close();
    bench.relay.close();
    expect([bench.port.closed, bench.flow(0).ended, bench.ends.length]).toEqual([true, true, 1]);
    bench.port.comes(anna, "b");
    bench.flow(0).handler.datagram?.(bytesOf("late"));
    expect([bench.flows.length, bench.port.sent.length, bench.clock.timers]).toEqual([1, 0, 0]);
  });
});

describe("while no agent takes a stream", () => {
  test("datagrams wait, and go in order when one is back: who came first goes first", async () => {
    const bench = await Bench.start();
    bench.room = 0;
    bench.port.comes(anna, "a1");
    bench.port.comes(ben, "b1");
    bench.port.comes(anna, "a2");
    bench.room = 1;
    bench.relay.tryAgain();
    expect(bench.flows.map(({ texts }) => texts)).toEqual([["a1", "a2"]]);
    bench.room = 2;
    bench.port.comes(ben, "b2");
    expect(bench.flow(1).texts).toEqual(["b1", "b2"]);
    bench.port.comes(ben, "b3");
    expect(bench.flow(1).texts).toEqual(["b1", "b2", "b3"]);
  });

  test("the flow is given up after 10 s, and its datagrams with it", async () => {
    const bench = await Bench.start();
    bench.room = 0;
    bench.port.comes(anna, "a1");
    bench.clock.advance(6_000);
    bench.port.comes(anna, "a2");
    bench.clock.advance(3_999);
    expect(bench.relay.flows).toBe(1);
    bench.clock.advance(1);
    expect(bench.ends).toEqual([
      { visitor: anna, bytesIn: 0, bytesOut: 0, ms: 10_000, code: "agent-offline" },
    ]);
    bench.room = 9;
    bench.relay.tryAgain();
    expect(bench.flows).toEqual([]);
    bench.port.comes(anna, "a3");
    expect(bench.flow(0).texts).toEqual(["a3"]);
  });

  test("only the latest few of a visitor are kept, one of the largest size always", async () => {
    const bench = await Bench.start();
    bench.room = 0;
    for (let at = 0; at < 40; at++) bench.port.comes(anna, String(at).padEnd(10_000));
    bench.port.comes(ben, "x".repeat(65_507));
    bench.port.comes(ben, "y".repeat(65_507));
    bench.port.comes("198.51.100.7:2", "z".repeat(65_507));
    bench.room = 3;
    bench.relay.tryAgain();
    expect(bench.flow(0).texts.map(Number)).toEqual(Array.from({ length: 13 }, (_, at) => at + 27));
    expect(bench.flow(1).texts.map((text) => text[0])).toEqual(["y"]);
    expect(bench.flow(2).texts.map((text) => text.length)).toEqual([65_507]);
  });

  test("visitors together may keep 1 MiB: above it who waits longest is given up without a word", async () => {
    const bench = await Bench.start();
    bench.room = 0;
    for (let at = 1; at <= 20; at++) bench.port.comes(`198.51.100.7:${at}`, "x".repeat(60_000));
    expect(bench.ends).toEqual([]);
    expect(bench.relay.flows).toBe(17);
    bench.room = 100;
    bench.relay.tryAgain();
    expect(bench.flows.length).toBe(17);
    // All has been given back.
    bench.room = 100 + bench.flows.length;
    for (let at = 1; at <= 17; at++) bench.port.comes(`198.51.100.8:${at}`, "x".repeat(60_000));
    expect(bench.flows.length).toBe(34);
  });

  test("a flood costs one question for each datagram, not one for each visitor that waits", async () => {
    const bench = await Bench.start();
    bench.room = 0;
    for (let at = 1; at <= 500; at++) bench.port.comes(`198.51.100.7:${at}`, "x");
    expect(bench.asked).toBe(500);
  });
});

describe("a flow whose agent has no link", () => {
  test("stays with it for 2 s, and goes on there when it is back", async () => {
    const bench = await Bench.start();
    bench.port.comes(anna, "1");
    bench.flow(0).stuck = true;
    bench.port.comes(anna, "2");
    bench.clock.advance(1_999);
    bench.port.comes(anna, "3");
    bench.flow(0).stuck = false;
    bench.clock.advance(1);
    bench.port.comes(anna, "4");
    bench.flow(0).stuck = true;
    bench.clock.advance(1_500);
    bench.port.comes(anna, "5");
    bench.clock.advance(1_500);
    bench.port.comes(anna, "6");
    expect(bench.flows.map(({ texts }) => texts)).toEqual([["1", "4"]]);
  });

  test("then moves to another, and only if there is one", async () => {
    const bench = await Bench.start();
    bench.room = 1;
    bench.port.comes(anna, "1");
    bench.flow(0).stuck = true;
    bench.port.comes(anna, "2");
    bench.clock.advance(2_000);
    bench.port.comes(anna, "3");
    expect([bench.flows.length, bench.flow(0).ended, bench.relay.flows]).toEqual([1, false, 1]);
    bench.room = 2;
    bench.port.comes(anna, "4");
    expect([bench.flow(0).ended, bench.flow(0).resetCode, bench.flow(1).texts]).toEqual([
      true,
      undefined,
      ["4"],
    ]);
    // The old one is nobody's any more.
    bench.flow(0).handler.reset("link-lost");
    bench.flow(1).handler.datagram?.(bytesOf("answer"));
    expect([bench.ends, bench.port.sent, bench.relay.flows]).toEqual([[], [`${anna} answer`], 1]);
    bench.flow(1).handler.end();
    expect(bench.ends).toEqual([{ visitor: anna, bytesIn: 2, bytesOut: 6, ms: 2_000 }]);
  });
});

test("over a real socket visitors get their own answers, of all sizes", async () => {
  const ingress = await UdpIngress.open({
    clock: new VirtualClock(),
    openDatagrams,
    address: { host: "127.0.0.1", port: 0 },
    open: (_, handler) => {
      const flow = new FakeFlow();
      // An agent that echoes.
      flow.datagram = (payload) => {
        queueMicrotask(() => handler.datagram?.(payload));
        return true;
      };
      return flow.stream;
    },
    onFlow: () => {},
  });
  const visit = async (sizes: number[], byte: number) => {
    const got: Uint8Array[] = [];
    let more = () => {};
    const socket = await openDatagrams(
      { remote: { host: "127.0.0.1", port: ingress.port } },
      {
        message: (bytes) => {
          got.push(bytes);
          more();
        },
      },
    );
    for (const size of sizes) {
      const answer = new Promise<void>((resolve) => {
        more = resolve;
      });
      socket.send(new Uint8Array(size).fill(byte));
      await answer;
    }
    socket.close();
    return got.map((bytes) => [bytes.length, bytes.every((one) => one === byte)]);
  };
  const sizes = [0, 1, 1_500, 60_000, 65_507];
  const answers = await Promise.all([visit(sizes, 1), visit([...sizes].reverse(), 2)]);
  expect(answers[0]).toEqual(sizes.map((size) => [size, true]));
  expect(answers[1]).toEqual([...sizes].reverse().map((size) => [size, true]));
  expect(ingress.flows).toBe(2);
  ingress.close();
});
