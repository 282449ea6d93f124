import { describe, expect, test } from "bun:test";
import dgram from "node:dgram";
import { once } from "node:events";
import fc from "fast-check";
import type { Flow, FlowHandler } from "../../agent/caller.ts";
import { proxyLimits } from "../../agent/local/proxy-limits.ts";
import type { DatagramHandler, DatagramOptions, OpenDatagrams } from "../../shared/datagrams.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { openDatagrams } from "../../shared/runtimes/node-datagrams.ts";
import { FakeProxy, type FakeSocket, turn } from "./proxy-fake-socket.ts";
import { noAuth, type Program, ProxyHarness } from "./proxy-harness.ts";
import { UdpProgram, wrapped } from "./proxy-udp-program.ts";

const associate = Uint8Array.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0);

/** Asks for an association over real sockets; returns the port that is answered. */
async function ask(harness: ProxyHarness): Promise<{ tcp: Program; port: number }> {
  const tcp = await harness.program(noAuth, associate);
  await tcp.take(2);
  const reply = await tcp.take(10);
  expect(reply.slice(0, 8)).toEqual([5, 0, 0, 1, 127, 0, 0, 1]);
  return { tcp, port: ((reply[8] ?? 0) << 8) | (reply[9] ?? 0) };
}

describe("UDP ASSOCIATE over real sockets", () => {
  /** Flows are sockets to `echo`. */
  async function start(): Promise<{ harness: ProxyHarness; echo: dgram.Socket }> {
    const echo = dgram.createSocket("udp4");
    echo.on("message", (bytes, { port, address }) => echo.send(bytes, port, address));
    echo.bind(0, "127.0.0.1");
    await once(echo, "listening");
    const harness = await ProxyHarness.start({ openDatagrams });
    harness.caller.udpFlow = (target, handler) => {
      harness.caller.called.push(target);
      const socket = dgram.createSocket("udp4");
      socket.on("message", (bytes) => handler.datagram(bytes));
      return {
        send: (bytes) => socket.send(bytes, echo.address().port, "127.0.0.1"),
        close: () => socket.close(),
      };
    };
    return { harness, echo };
  }

  test("datagrams of 0 to 60,000 bytes come back whole, from the address that they were sent to", async () => {
    const { harness, echo } = await start();
    await using _closing = harness;
    await using program = await UdpProgram.open();
    const { tcp, port } = await ask(harness);
    for (const size of [1, 0, 512, 1_400, 9_000, 60_000]) {
      const sent = wrapped("echo.test", 7, Buffer.alloc(size, "datagram"));
      await program.send(sent, port);
      expect((await program.next()).equals(sent)).toBe(true);
    }
    const byAddress = Buffer.from([0, 0, 0, 1, 10, 0, 0, 7, 0, 53, 1, 2, 3]);
    await program.send(byAddress, port);
    expect((await program.next()).equals(byAddress)).toBe(true);
    expect(harness.caller.called).toEqual(["echo.test:7", "10.0.0.7:53"]);
    tcp.socket.end();
    await harness.ended(2);
    expect(harness.events).toEqual([
      {
        event: "stream",
        kind: "proxy",
        target: "echo.test:7",
        bytesIn: 70_913,
        bytesOut: 70_913,
        end: "closed",
      },
      { event: "stream", kind: "proxy", target: "10.0.0.7:53", bytesIn: 3, bytesOut: 3, end: "closed" },
    ]);
    await tcp.over();
    echo.close();
  });

  test("a datagram from another address is ignored", async () => {
    const { harness, echo } = await start();
    await using _closing = harness;
    await using stranger = await UdpProgram.open("127.0.0.2");
    await using program = await UdpProgram.open();
    const { port } = await ask(harness);
    await stranger.send(wrapped("stolen.test", 7, Buffer.from("x")), port);
    const sent = wrapped("echo.test", 7, Buffer.from("mine"));
    await program.send(sent, port);
    expect((await program.next()).equals(sent)).toBe(true);
    expect(harness.caller.called).toEqual(["echo.test:7"]);
    expect(stranger.received).toEqual([]);
    echo.close();
  });

  test("two ports of a program, and two targets, each have a flow of their own", async () => {
    const { harness, echo } = await start();
    await using _closing = harness;
    await using one = await UdpProgram.open();
    await using two = await UdpProgram.open();
    const { port } = await ask(harness);
    for (const program of [one, two]) {
      for (const name of ["a.test", "b.test"]) {
        const sent = wrapped(name, 7, Buffer.from(`${name} ${program === one}`));
        await program.send(sent, port);
        expect((await program.next()).equals(sent)).toBe(true);
      }
    }
    expect(harness.caller.called).toEqual(["a.test:7", "b.test:7", "a.test:7", "b.test:7"]);
    echo.close();
  });
});

/** A UDP socket and flows without a network. */
class FakeUdp {
  options: DatagramOptions | undefined;
  handler: DatagramHandler | undefined;
  readonly sent: { bytes: Uint8Array; remote: string | undefined }[] = [];
  readonly flows: { target: string; handler: FlowHandler; sent: Uint8Array[]; closed: boolean }[] = [];
  closed = false;
  readonly open: OpenDatagrams = async (options, handler) => {
    this.options = options;
    this.handler = handler;
    return {
      host: options.host ?? "",
      port: 5_555,
      send: (bytes, remote) => void this.sent.push({ bytes, remote }),
      close: () => {
        this.closed = true;
      },
    };
  };
  readonly call = (target: string, handler: FlowHandler): Flow => {
    const flow = { target, handler, sent: [] as Uint8Array[], closed: false };
    this.flows.push(flow);
    return {
      send: (bytes) => void flow.sent.push(bytes),
      close: () => {
        flow.closed = true;
      },
    };
  };
  says(bytes: Uint8Array, remote = "127.0.0.1:41000"): void {
    this.handler?.message(bytes, remote);
  }
}

describe("UDP ASSOCIATE", () => {
  async function start(
    local = "127.0.0.1:1080",
  ): Promise<{ proxy: FakeProxy; udp: FakeUdp; socket: FakeSocket }> {
    const udp = new FakeUdp();
    const proxy = await FakeProxy.start({ openDatagrams: udp.open });
    proxy.udpFlow = udp.call;
    const socket = proxy.socket();
    socket.local = local;
    if (local.startsWith("[")) socket.remote = "[2001:db8::2]:40000";
    socket.says(noAuth);
    socket.says(associate);
    await turn();
    return { proxy, udp, socket };
  }

  test("is bound where the TCP socket arrived, and says so", async () => {
    const four = await start("192.0.2.7:1080");
    expect(four.udp.options?.host).toBe("192.0.2.7");
    expect([...four.socket.written]).toEqual([5, 0, 5, 0, 0, 1, 192, 0, 2, 7, 5_555 >>> 8, 5_555 & 0xff]);
    const six = await start("[2001:db8::1]:1080");
    expect(six.udp.options?.host).toBe("2001:db8::1");
    const address = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    expect([...six.socket.written]).toEqual([5, 0, 5, 0, 0, 4, ...address, 5_555 >>> 8, 5_555 & 0xff]);
    six.udp.says(wrapped("a.test", 7, Buffer.from("x")), "[2001:db8::2]:41000");
    expect(six.udp.flows).toHaveLength(1);
  });

  test("is for the first port that sends, where a login is asked for: others have not said it", async () => {
    const udp = new FakeUdp();
    const proxy = await FakeProxy.start({
      openDatagrams: udp.open,
      credentials: { user: "u", password: "p" },
    });
    proxy.udpFlow = udp.call;
    const socket = proxy.socket();
    socket.says(Uint8Array.of(5, 1, 2, 1, 1, 0x75, 1, 0x70));
    socket.says(associate);
    await turn();
    const datagram = wrapped("a.test", 7, Buffer.from("x"));
    for (const port of [41_000, 41_001, 41_000]) udp.says(datagram, `127.0.0.1:${port}`);
    expect(udp.flows.map(({ sent }) => sent.length)).toEqual([2]);
  });

  test("lives as long as its TCP socket: FIN, a break and the proxy's end close it with its flows", async () => {
    for (const ends of ["halfCloses", "breaks", "destroy"] as const) {
      const { proxy, udp, socket } = await start();
      udp.says(wrapped("a.test", 7, Buffer.from("x")));
      if (ends === "destroy") void proxy.running.close(0).then(() => {});
      else socket[ends]();
      proxy.clock.advance(0);
      await turn();
      expect([udp.closed, udp.flows[0]?.closed]).toEqual([true, true]);
      expect(proxy.events).toMatchObject([{ target: "a.test:7", bytesIn: 1, end: "closed" }]);
      udp.says(wrapped("b.test", 7, Buffer.from("late")));
      udp.flows[0]?.handler.datagram(Buffer.from("late"));
      expect([udp.flows.length, udp.sent.length]).toEqual([1, 0]);
      proxy.clock.advance(proxyLimits.lingerMs + 2 * proxyLimits.sweepMs);
      await turn();
      expect([proxy.running.sockets, proxy.clock.timers]).toEqual([0, 0]);
    }
  });

  test("a socket that is gone before the binding is closed when it comes", async () => {
    const udp = new FakeUdp();
    const proxy = await FakeProxy.start({ openDatagrams: udp.open });
    const socket = proxy.socket();
    socket.says(Buffer.concat([noAuth, associate]));
    socket.breaks();
    await turn();
    expect(udp.closed).toBe(true);
    expect([...socket.written]).toEqual([5, 0]);
  });

  test("a binding that fails is told as a failure", async () => {
    const proxy = await FakeProxy.start({
      openDatagrams: () => Promise.reject(new UnderpassError("stream-failed")),
    });
    const socket = proxy.socket();
    socket.says(Buffer.concat([noAuth, associate]));
    await turn();
    expect([...socket.written]).toEqual([5, 0, 5, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    expect(socket.ended).toBe(true);
  });

  test.each([
    ["nothing", Buffer.alloc(0)],
    ["half a header", Buffer.from([0, 0, 0, 1, 1, 2])],
    ["a fragment", wrapped("a.test", 7, Buffer.from("x"), 1)],
    ["the last fragment", wrapped("a.test", 7, Buffer.from("x"), 0x81)],
    ["an unknown type of address", Buffer.from([0, 0, 0, 2, 1, 2, 3, 4, 0, 7, 1])],
    ["port 0", wrapped("a.test", 0, Buffer.from("x"))],
    ["a name that is none", wrapped("a test", 7, Buffer.from("x"))],
    ["a name that is longer than the datagram", Buffer.from([0, 0, 0, 3, 200, 97, 0, 7])],
  ])("a datagram with %s is dropped", async (_what, bytes) => {
    const { udp, socket } = await start();
    udp.says(bytes);
    expect(udp.flows).toEqual([]);
    expect(socket.over).toBe(false);
  });

  test("an idle flow ends after 60 s, each way counts as use, and the next datagram opens it again", async () => {
    const { proxy, udp } = await start();
    const sent = wrapped("a.test", 7, Buffer.from("x"));
    udp.says(sent);
    proxy.clock.advance(proxyLimits.flowIdleMs - 1);
    udp.says(sent);
    proxy.clock.advance(proxyLimits.flowIdleMs - 1);
    udp.flows[0]?.handler.datagram(Buffer.from("back"));
    proxy.clock.advance(proxyLimits.flowIdleMs - 1);
    expect(udp.flows[0]?.closed).toBe(false);
    proxy.clock.advance(1);
    expect(udp.flows[0]?.closed).toBe(true);
    expect(proxy.events).toMatchObject([{ bytesIn: 2, bytesOut: 4, end: "closed" }]);
    udp.says(sent);
    expect(udp.flows).toHaveLength(2);
  });

  test("flows are bounded: the one that was not used for longest makes room", async () => {
    const { udp } = await start();
    const say = (i: number): void => udp.says(wrapped(`n${i}.test`, 7, Buffer.from("x")));
    for (let i = 0; i < proxyLimits.maxFlows; i++) say(i);
    say(0);
    say(proxyLimits.maxFlows);
    expect(udp.flows.flatMap(({ closed, target }) => (closed ? [target] : []))).toEqual(["n1.test:7"]);
  });

  test("a refused flow is told once, and asked for again after a while only", async () => {
    const { proxy, udp } = await start();
    const sent = wrapped("denied.test", 7, Buffer.from("x"));
    udp.says(sent);
    udp.flows[0]?.handler.closed("egress-denied");
    expect(proxy.events).toMatchObject([{ target: "denied.test:7", end: "reset", code: "egress-denied" }]);
    udp.says(sent);
    proxy.clock.advance(proxyLimits.flowRefusedMs - 1);
    udp.says(sent);
    expect(udp.flows).toHaveLength(1);
    proxy.clock.advance(1);
    udp.says(sent);
    expect(udp.flows).toHaveLength(2);
    // One that the far side just ended is opened at once.
    udp.flows[1]?.handler.closed(undefined);
    udp.says(sent);
    expect(udp.flows).toHaveLength(3);
  });

  test("an answer that is too large with its header is dropped", async () => {
    const { udp } = await start();
    udp.says(wrapped("a.test", 7, Buffer.from("x")));
    const header = wrapped("a.test", 7, Buffer.alloc(0)).length;
    const fits = proxyLimits.maxDatagramBytes - header;
    udp.flows[0]?.handler.datagram(Buffer.alloc(fits + 1));
    udp.flows[0]?.handler.datagram(Buffer.alloc(fits));
    expect(udp.sent.map(({ bytes, remote }) => [bytes.length, remote])).toEqual([
      [proxyLimits.maxDatagramBytes, "127.0.0.1:41000"],
    ]);
  });

  test("whatever comes, it never throws, and flows stay bounded", async () => {
    const { proxy, udp, socket } = await start();
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 30 }),
      fc.uint8Array({ maxLength: 30 }).map((rest) => Uint8Array.of(0, 0, 0, ...rest)),
      fc
        .tuple(fc.string({ maxLength: 5 }), fc.nat(65_535))
        .map(([name, port]) => wrapped(name, port, Buffer.from("x"))),
    );
    fc.assert(
      fc.property(bytes, fc.nat(3), fc.nat(5_000), (datagram, port, ms) => {
        udp.says(datagram, `127.0.0.1:${41_000 + port}`);
        proxy.clock.advance(ms);
      }),
      { numRuns: 3_000 },
    );
    const open = udp.flows.filter(({ closed }) => !closed).length;
    expect(open).toBeLessThanOrEqual(proxyLimits.maxFlows);
    expect(udp.flows.length).toBeGreaterThan(open);
    socket.breaks();
    expect(udp.flows.every(({ closed }) => closed)).toBe(true);
    expect(proxy.events).toHaveLength(udp.flows.length);
  });

  test("what comes on the TCP socket meanwhile is dropped", async () => {
    const { socket } = await start();
    for (let i = 0; i < 1_000; i++) socket.says(Buffer.alloc(65_536));
    expect(socket.over).toBe(false);
  });
});
