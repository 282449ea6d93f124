import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import dgram, { type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { NameServer } from "../netns/name-server.ts";
import { freePort } from "./programs/free-port.ts";
import { absent, needed } from "./programs/installed.ts";
import { Program } from "./programs/program.ts";
import { type Relay, relayRuntime } from "./programs/relay.ts";
import { startAgentOf, startPortRelay } from "./programs/tcp-tunnel.ts";

const testLimitMs = 60_000;
const sizes = [0, 1, 1_500, 60_000, 65_507];

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** A visitor with a port of his own, who hears in order what comes. */
class Visitor {
  readonly socket = dgram.createSocket("udp4");
  readonly #heard: Buffer[] = [];
  #more = Promise.withResolvers<void>();

  static async of(port: number): Promise<Visitor> {
    const visitor = new Visitor();
    visitor.socket.on("message", (message) => {
      visitor.#heard.push(Buffer.from(message));
      visitor.#more.resolve();
    });
    visitor.socket.on("error", () => {});
    visitor.socket.connect(port, "127.0.0.1");
    await once(visitor.socket, "connect");
    return visitor;
  }

  send(bytes: Uint8Array | string): void {
    this.socket.send(bytes);
  }

  async next(): Promise<Buffer> {
    for (;;) {
      const next = this.#heard.shift();
      if (next !== undefined) return next;
      this.#more = Promise.withResolvers();
      await this.#more.promise;
    }
  }

  async ask(bytes: Uint8Array | string): Promise<Buffer> {
    this.send(bytes);
    return await this.next();
  }

  /** As a program would that speaks over UDP: again and again, until an answer comes. */
  async askUntil(text: string): Promise<string> {
    const again = setInterval(() => this.send(text), 250);
    try {
      return String(await this.ask(text));
    } finally {
      clearInterval(again);
    }
  }

  close(): void {
    this.socket.close();
  }
}

// A relay in workerd has no public ports (docs/kinds.md).
describe.skipIf(relayRuntime === "workerd")("a udp tunnel", () => {
  let relay: Relay;
  let token = "";
  let agent: Program;
  let port = 0;
  const origin = dgram.createSocket("udp4");
  let answer: (message: Buffer, from: RemoteInfo) => void = () => {};
  const programs: Program[] = [];

  beforeAll(async () => {
    relay = await startPortRelay();
    token = await relay.token();
    origin.on("message", (message, from) => answer(message, from));
    origin.bind(0, "127.0.0.1");
    await once(origin, "listening");
    const started = await start(String(origin.address().port), "--name", "echo");
    agent = started.program;
    port = Number(started.url.port);
    expect(started.url.protocol).toBe("udp:");
  }, testLimitMs);

  afterAll(async () => {
    for (const program of programs) await program.kill();
    await relay?.kill();
    origin.close();
  });

  async function start(...args: readonly string[]) {
    const started = await startAgentOf(relay, token, ["udp", ...args]);
    programs.push(started.program);
    return started;
  }

  const echo = (message: Buffer, from: RemoteInfo) => origin.send(message, from.port, from.address);

  test(
    "carries datagrams of all sizes there and back, each whole",
    async () => {
      const arrived: string[] = [];
      answer = (message, from) => {
        arrived.push(sha256(message));
        echo(message, from);
      };
      const visitor = await Visitor.of(port);
      for (const size of sizes) {
        const datagram = randomBytes(size);
        const back = await visitor.ask(datagram);
        expect(arrived.pop()).toBe(sha256(datagram));
        expect(back.length).toBe(size);
        expect(sha256(back)).toBe(sha256(datagram));
      }
      visitor.close();
    },
    testLimitMs,
  );

  test(
    "does not join, cut or mix up what comes at once",
    async () => {
      answer = echo;
      const visitor = await Visitor.of(port);
      // All of it fits into what a system keeps for a socket at first.
      const datagrams = Array.from({ length: 30 }, (_, at) => randomBytes(at % 7 === 0 ? 0 : 20 + at * 10));
      for (const datagram of datagrams) visitor.send(datagram);
      const back: string[] = [];
      while (back.length < datagrams.length) back.push(sha256(await visitor.next()));
      expect(back).toEqual(datagrams.map(sha256));
      visitor.close();
    },
    testLimitMs,
  );

  test(
    "gives each visitor a socket of his own at the origin, and his own answers",
    async () => {
      const callers = new Map<string, number>();
      answer = (message, from) => {
        callers.set(String(message.subarray(0, 1)), from.port);
        echo(message, from);
      };
      const talk = async (name: string) => {
        const visitor = await Visitor.of(port);
        for (let round = 0; round < 100; round++) {
          const text = `${name} ${round} ${"x".repeat((round * 37) % 1_400)}`;
          expect(String(await visitor.ask(text))).toBe(text);
        }
        visitor.close();
      };
      await Promise.all(["a", "b", "c"].map(talk));
      expect(callers.size).toBe(3);
      expect(new Set(callers.values()).size).toBe(3);
    },
    testLimitMs,
  );

  test(
    "carries what the origin sends later, without a question",
    async () => {
      let caller: RemoteInfo | undefined;
      answer = (_, from) => {
        caller = from;
      };
      const visitor = await Visitor.of(port);
      visitor.send("subscribe");
      answer = (_, from) => {
        for (const text of ["one", "two", "three"]) origin.send(text, from.port, from.address);
        caller = from;
      };
      const heard = [
        String(await visitor.next()),
        String(await visitor.next()),
        String(await visitor.next()),
      ];
      expect(heard).toEqual(["one", "two", "three"]);
      expect(caller?.address).toBe("127.0.0.1");
      visitor.close();
    },
    testLimitMs,
  );

  test(
    "reaches an origin that starts later by the same flow",
    async () => {
      const free = await freePort();
      const { url, program } = await start(String(free));
      const visitor = await Visitor.of(Number(url.port));
      visitor.send("nobody there");
      const late = dgram.createSocket("udp4");
      late.on("message", (message, from) => late.send(message, from.port, from.address));
      late.bind(free, "127.0.0.1");
      await once(late, "listening");
      expect(await visitor.askUntil("now")).not.toBe("");
      visitor.close();
      late.close();
      await program.kill();
    },
    testLimitMs,
  );

  test.skipIf(absent("dig") !== "")(
    absent("dig") === "" ? "serves dig" : `serves dig (not installed: ${absent("dig")})`,
    async () => {
      const namesAt = await freePort();
      const many = Array.from({ length: 60 }, (_, at) => `192.0.2.${at + 1}`);
      const names = await NameServer.listen(
        { "one.test": [["192.0.2.7"]], "many.test": [many] },
        "127.0.0.1",
        namesAt,
      );
      const { url, program } = await start(String(namesAt));
      const dig = async (...args: readonly string[]) => {
        const run = new Program([
          ...[
            needed("dig"),
            "@127.0.0.1",
            "-p",
            url.port,
            "+tries=1",
            "+time=20",
            "+notcp",
            "+ignore",
            "+short",
          ],
          ...args,
        ]);
        expect(await run.exit()).toBe(0);
        return run.stdout.trim().split("\n");
      };
      expect(await dig("one.test")).toEqual(["192.0.2.7"]);
      expect((await dig("many.test", "+bufsize=4096")).sort()).toEqual([...many].sort());
      expect(await Promise.all(Array.from({ length: 8 }, () => dig("one.test")))).toEqual(
        Array.from({ length: 8 }, () => ["192.0.2.7"]),
      );
      names.close();
      await program.kill();
    },
    testLimitMs,
  );

  test(
    "keeps what comes while the agent is away, and sends it on to the one that is back",
    async () => {
      answer = echo;
      const first = await start(String(origin.address().port), "--name", "away");
      const at = Number(first.url.port);
      await first.program.kill();
      const visitor = await Visitor.of(at);
      visitor.send("early");
      const second = await start(String(origin.address().port), "--name", "away");
      expect(Number(second.url.port)).toBe(at);
      expect(String(await visitor.next())).toBe("early");
      visitor.close();
      await second.program.kill();
    },
    testLimitMs,
  );

  test(
    "a visitor whose agent was killed is served by the next one, from the same port of his",
    async () => {
      answer = echo;
      const first = await start(String(origin.address().port), "--name", "again");
      const visitor = await Visitor.of(Number(first.url.port));
      expect(String(await visitor.ask("before"))).toBe("before");
      await first.program.kill();
      const second = await start(String(origin.address().port), "--name", "again");
      expect(await visitor.askUntil("after")).toBe("after");
      visitor.close();
      await second.program.kill();
    },
    testLimitMs,
  );

  test(
    "an agent that stops ends its flows, and tells what went",
    async () => {
      answer = (_, from) => origin.send("12345", from.port, from.address);
      const { program, url } = await start(String(origin.address().port));
      const visitor = await Visitor.of(Number(url.port));
      await visitor.ask("123");
      expect(await program.stop()).toBe(0);
      expect(program.events.findLast(({ event }) => event === "stream")).toMatchObject({
        kind: "udp",
        bytesIn: 3,
        bytesOut: 5,
      });
      visitor.close();
      expect(agent.events.some(({ event }) => event === "error")).toBe(false);
    },
    testLimitMs,
  );
});
