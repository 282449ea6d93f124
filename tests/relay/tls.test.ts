import { afterEach, describe, expect, test } from "bun:test";
import tls from "node:tls";
import { TlsIngress, type TlsIngressDeps, tlsLimits } from "../../relay/ingress/tls.ts";
import { TlsEnd } from "../../relay/ingress/tls-end.ts";
import { tlsAlert } from "../../relay/ingress/tls-farewell.ts";
import { Router } from "../../relay/router.ts";
import type { Code } from "../../shared/errors.ts";
import { listen } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import type { Listener, Socket, SocketHandler } from "../../shared/socket.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { installed } from "../blackbox/programs/installed.ts";
import { Program } from "../blackbox/programs/program.ts";
import { concat, makeHello } from "../shared/made-hello.ts";

const domains = ["example.com", "tunnels.example.com"];
const router = new Router({ domains, routing: "both", publicHost: "relay.example.com" });
const alert = (description: number) => [21, 3, 3, 0, 2, 2, description];
const unrecognizedName = 112;

/** A visitor's socket: keeps what he got; `closed` comes when the test says so. */
class FakeSocket implements Socket {
  handler: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };
  got: number[] = [];
  finished = false;
  destroyed = false;
  paused = false;
  readonly queued = 0;
  readonly remote = "203.0.113.7:4711";
  readonly local = "198.51.100.1:443";

  write(bytes: Uint8Array): number {
    if (!this.finished && !this.destroyed) this.got.push(...bytes);
    return 0;
  }
  end(): void {
    this.finished = true;
  }
  destroy(): void {
    this.destroyed = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  closes(): void {
    this.handler.closed({ reset: this.destroyed });
  }
}

interface Carried {
  readonly name: string;
  readonly socket: Socket;
  readonly first: Uint8Array;
}

class SetUp {
  readonly clock = new VirtualClock();
  readonly refused: Code[] = [];
  readonly carried: Carried[] = [];
  /** What the carrier says. */
  refusal: Code | undefined;
  readonly ingress: TlsIngress;

  constructor() {
    const deps: TlsIngressDeps = {
      clock: this.clock,
      router,
      metrics: { refused: (code) => void this.refused.push(code) },
      carry: (name, socket, first) => {
        if (this.refusal === undefined) this.carried.push({ name, socket, first });
        return this.refusal;
      },
    };
    this.ingress = new TlsIngress(deps);
  }

  visitor(...pieces: readonly Uint8Array[]): FakeSocket {
    const socket = new FakeSocket();
    this.ingress.accept(socket);
    for (const piece of pieces) socket.handler.data(piece);
    return socket;
  }
}

describe("a visitor of the port of all tls tunnels", () => {
  test("goes to the tunnel that his ClientHello names, with every byte as it came", () => {
    const all = new SetUp();
    const hello = makeHello({ sni: "blue.example.com", alpn: ["h2"] });
    const early = new Uint8Array(50_000).fill(5);
    const whole = all.visitor(concat(hello, early));
    const cut = all.visitor(hello.subarray(0, 3), hello.subarray(3, 60));
    expect(all.carried.map(({ name, socket }) => [name, socket])).toEqual([["blue", whole]]);
    cut.handler.data(concat(hello.subarray(60), early));
    expect(all.carried[1]?.socket).toBe(cut);
    for (const { name, first } of all.carried)
      expect([name, Buffer.compare(first, concat(hello, early))]).toEqual(["blue", 0]);
    expect([all.ingress.waiting, all.clock.timers, whole.got, all.refused]).toEqual([0, 0, [], []]);
  });

  test.each<[string, string | undefined]>([
    ["blue.example.com", "blue"],
    ["BLUE.Example.COM", "blue"],
    ["blue.example.com.", "blue"],
    ["green.tunnels.example.com", "green"],
    ["example.com", undefined],
    ["tunnels.example.com", undefined],
    ["relay.example.com", undefined],
    ["a.blue.example.com", undefined],
    ["blue.example.org", undefined],
    ["blue.example.com:443", undefined],
    ["blue.example.com..", undefined],
    ["-.example.com", undefined],
    ["b_lue.example.com", undefined],
    [".example.com", undefined],
    ["blue", undefined],
    ["192.0.2.1", undefined],
    ["2001:db8::1", undefined],
    ["[2001:db8::1]", undefined],
    [`${"x".repeat(64)}.example.com`, undefined],
  ])("is of tunnel NAME where he says NAME.DOMAIN, else of none: %s", (sni, name) => {
    const all = new SetUp();
    const socket = all.visitor(makeHello({ sni }));
    expect(all.carried.map((one) => one.name)).toEqual(name === undefined ? [] : [name]);
    expect(socket.got).toEqual(name === undefined ? alert(unrecognizedName) : []);
    expect(all.refused).toEqual(name === undefined ? ["unknown-host"] : []);
  });

  test("hears a fatal alert and a FIN where he can't be served, and may read it in peace", () => {
    const refusals: [Uint8Array, number[]][] = [
      [makeHello(), alert(unrecognizedName)],
      [makeHello({ sni: "blue\0.example.com" }), alert(47)],
      [makeHello({ sni: "" }), alert(50)],
      [Uint8Array.of(0x80, 0x2e, 1, 3, 1), alert(70)],
      [new TextEncoder().encode("GET / HTTP/1.1\r\n"), []],
    ];
    for (const [bytes, answer] of refusals) {
      const all = new SetUp();
      const socket = all.visitor(bytes);
      expect([socket.got, socket.finished, socket.destroyed]).toEqual([answer, true, false]);
      expect(all.ingress.waiting).toBe(1);
      // What he still sends is no reason to reset him.
      socket.handler.data(new Uint8Array(100_000));
      socket.handler.ended();
      socket.closes();
      expect([all.ingress.waiting, all.clock.timers, all.refused.length]).toEqual([0, 0, 1]);
    }
  });

  test("hears what the carrier refuses him for", () => {
    const all = new SetUp();
    const answers: [Code, number[]][] = [
      ["unknown-tunnel", alert(unrecognizedName)],
      ["agent-offline", alert(80)],
      ["too-many-streams", alert(80)],
    ];
    for (const [code, answer] of answers) {
      all.refusal = code;
      const socket = all.visitor(makeHello({ sni: "blue.example.com" }));
      expect([socket.got, socket.finished]).toEqual([answer, true]);
    }
    // The carrier has counted them.
    expect(all.refused).toEqual([]);
  });

  test("who stays after an alert is cut off", () => {
    const all = new SetUp();
    const socket = all.visitor(makeHello());
    all.clock.advance(60_000);
    expect(socket.destroyed).toBe(true);
  });

  test("has ten seconds for his ClientHello, however slowly it comes", () => {
    const all = new SetUp();
    const hello = makeHello({ sni: "blue.example.com" });
    const socket = all.visitor();
    for (let second = 0; second < 9; second++) {
      all.clock.advance(1_000);
      socket.handler.data(hello.subarray(second, second + 1));
    }
    all.clock.advance(999);
    expect(socket.finished).toBe(false);
    all.clock.advance(1);
    expect([socket.got, socket.finished]).toEqual([[], true]);
    expect(all.refused).toEqual(["request-timeout"]);
  });

  test("who leaves before it is complete is gone, with a word only where he had begun", () => {
    const all = new SetUp();
    const silent = all.visitor();
    silent.handler.ended();
    const begun = all.visitor(makeHello({ sni: "blue.example.com" }).subarray(0, 40));
    begun.handler.ended();
    expect([silent.got, silent.finished, begun.got, begun.finished]).toEqual([[], true, alert(50), true]);
    const reset = all.visitor(makeHello().subarray(0, 40));
    for (const socket of [silent, begun, reset]) socket.closes();
    expect([all.ingress.waiting, all.clock.timers]).toEqual([0, 0]);
  });

  test("who is silent makes room for who comes", () => {
    const all = new SetUp();
    const silent = Array.from({ length: tlsLimits.maxWaiting }, () => all.visitor());
    expect(silent[0]?.destroyed).toBe(false);
    all.visitor(makeHello({ sni: "blue.example.com" }));
    expect(all.carried.length).toBe(1);
    expect(silent.map((socket) => socket.destroyed).indexOf(false)).toBe(1);
    silent[0]?.closes();
    expect(all.ingress.waiting).toBe(tlsLimits.maxWaiting - 1);
  });

  test("who holds the beginning of a large hello makes room too", () => {
    const all = new SetUp();
    const large = makeHello({ sni: "blue.example.com", extensions: [[21, new Uint8Array(16_000)]] });
    const part = large.subarray(0, 16_000);
    const room = Math.floor(tlsLimits.maxHeldBytes / part.length);
    const slow = Array.from({ length: room + 3 }, () => all.visitor(part));
    expect(slow.filter(({ destroyed }) => destroyed)).toEqual(slow.slice(0, 3));
    slow[3]?.handler.data(large.subarray(16_000));
    expect(all.carried.length).toBe(1);
    expect(all.visitor(part).destroyed).toBe(false);
    expect(slow.filter(({ destroyed }) => destroyed).length).toBe(3);
  });

  test("is let go when the relay closes, unless he was carried", () => {
    const all = new SetUp();
    const sockets = [
      all.visitor(),
      all.visitor(makeHello()),
      all.visitor(makeHello({ sni: "blue.example.com" })),
    ];
    all.ingress.close();
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, true, false]);
  });
});

describe("the end of a pipe at a tls visitor", () => {
  const end = () => {
    const socket = new FakeSocket();
    return { socket, end: new TlsEnd(socket, { clock: new VirtualClock(), first: Uint8Array.of(22) }) };
  };

  test("gives what he has said, and says by an alert that there is nobody to answer it", () => {
    for (const code of ["agent-offline", "origin-refused", "origin-timeout"] as const) {
      const { socket, end: one } = end();
      const heard: number[] = [];
      one.handler = { data: (bytes) => void heard.push(...bytes), drained() {}, ended() {}, aborted() {} };
      one.write(new Uint8Array(0));
      one.abort(code);
      expect([heard, socket.got, socket.finished, socket.destroyed]).toEqual([[22], alert(80), true, false]);
    }
  });

  test("is a reset once somebody has answered, or where the origin itself broke off", () => {
    const answered = end();
    answered.end.write(Uint8Array.of(1));
    answered.end.abort("agent-offline");
    const broken = end();
    broken.end.abort("origin-closed");
    expect([answered.socket.got, answered.socket.destroyed]).toEqual([[1], true]);
    expect([broken.socket.got, broken.socket.destroyed]).toEqual([[], true]);
    expect([tlsAlert("cancelled"), tlsAlert("link-lost")]).toEqual([undefined, undefined]);
  });
});

describe("real programs", () => {
  let listener: Listener | undefined;
  afterEach(() => listener?.close());

  /** A port that knows tunnel `blue`, whose agent is offline. */
  async function start(): Promise<number> {
    const ingress = new TlsIngress({
      clock: systemClock,
      router,
      metrics: { refused() {} },
      carry: (name) => (name === "blue" ? "agent-offline" : "unknown-tunnel"),
    });
    listener = await listen({ host: "127.0.0.1", port: 0 }, (socket) => ingress.accept(socket));
    return listener.port;
  }

  const openssl = installed("openssl");
  test.skipIf(openssl === undefined)(
    "OpenSSL understands why it is refused, in TLS 1.2 and 1.3",
    async () => {
      const port = await start();
      const say = async (...args: readonly string[]) => {
        const program = new Program([openssl ?? "", "s_client", "-connect", `127.0.0.1:${port}`, ...args]);
        await program.exit();
        return /SSL alert number (\d+)/.exec(program.stderr)?.[1] ?? program.describe();
      };
      expect(await say("-servername", "green.example.com")).toBe("112");
      expect(await say("-servername", "BLUE.example.com")).toBe("80");
      expect(await say("-servername", "blue.example.com", "-tls1_2")).toBe("80");
      expect(await say("-noservername", "-tls1_2")).toBe("112");
    },
  );

  test("Bun is told in order, and not cut off", async () => {
    const port = await start();
    const error = await new Promise<Error & { code?: string }>((resolve, reject) => {
      const socket = tls.connect({ host: "127.0.0.1", port, servername: "green.example.com" });
      socket.on("error", resolve);
      socket.on("secureConnect", () => reject(new Error("a handshake with nobody")));
    });
    expect(error.code).not.toBe("ECONNRESET");
  });
});
