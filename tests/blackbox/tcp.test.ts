import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { FaultProxy } from "../faults/fault-proxy.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, relayRuntime } from "./programs/relay.ts";
import { startAgentOf, startPortRelay } from "./programs/tcp-tunnel.ts";

const testLimitMs = 60_000;

// A relay in workerd has no public ports (docs/kinds.md).
describe.skipIf(relayRuntime === "workerd")("a tcp tunnel", () => {
  let relay: Relay;
  let token = "";
  let origin: Server;
  /** What the origin does with a socket. */
  let serve: (socket: Socket) => void = () => {};
  let port = 0;
  let agent: Program;
  const programs: Program[] = [];

  beforeAll(async () => {
    relay = await startPortRelay();
    token = await relay.token({ connect: ["box"] });
    origin = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      serve(socket);
    });
    await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
    const started = await start("tcp", String((origin.address() as AddressInfo).port));
    agent = started.program;
    port = Number(started.url.port);
  }, testLimitMs);

  afterAll(async () => {
    for (const program of programs) await program.kill();
    await relay?.kill();
    origin?.close();
  });

  async function start(...args: readonly string[]) {
    const started = await startAgentOf(relay, token, args);
    programs.push(started.program);
    return started;
  }

  async function visit(at = port): Promise<Socket> {
    const socket = connect({ port: at, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  }

  /** To its end. An iterator would destroy the socket there, and with it the other direction. */
  async function all(socket: Socket): Promise<string> {
    let text = "";
    socket.on("data", (bytes) => void (text += String(bytes)));
    await once(socket, "end");
    return text;
  }

  /** What comes of a socket, and how it breaks. */
  function untilReset(socket: Socket): Promise<string> {
    let text = "";
    socket.on("data", (bytes) => void (text += String(bytes)));
    socket.on("error", (error: NodeJS.ErrnoException) => void (text += error.code));
    return new Promise((resolve) => socket.on("close", () => resolve(text)));
  }

  /** What a visitor hears who says nothing. */
  async function asked(at: number): Promise<string> {
    const visitor = await visit(at);
    visitor.end();
    return await all(visitor);
  }

  /** How many links the relay has. */
  async function links(): Promise<number> {
    const text = await (await fetch(`${relay.url}/metrics`)).text();
    return Number(/^underpass_links (\d+)$/m.exec(text)?.[1]);
  }

  test(
    "gives the whole answer to a visitor who has half-closed, and is told how much went each way",
    async () => {
      serve = async (socket) => {
        const asked = await all(socket);
        socket.end(asked.toUpperCase().repeat(50_000));
      };
      const { mark } = agent;
      const visitor = await visit();
      visitor.end("data");
      expect(await all(visitor)).toBe("DATA".repeat(50_000));
      const stream = await agent.event("stream", () => true, mark);
      expect(stream).toMatchObject({ kind: "tcp", bytesIn: 4, bytesOut: 200_000, end: "closed" });
    },
    testLimitMs,
  );

  test(
    "takes all of a visitor's bytes after the origin has half-closed",
    async () => {
      const heard = Promise.withResolvers<string>();
      serve = (socket) => {
        socket.end("go on");
        heard.resolve(all(socket));
      };
      const visitor = await visit();
      expect(await all(visitor)).toBe("go on");
      visitor.end("x".repeat(300_000));
      expect((await heard.promise).length).toBe(300_000);
    },
    testLimitMs,
  );

  test(
    "lets the origin speak first, and forgets a visitor who never spoke",
    async () => {
      serve = (socket) => void socket.write("220 ready\r\n");
      const { mark } = agent;
      const visitor = await visit();
      const [greeting] = await once(visitor, "data");
      expect(String(greeting)).toBe("220 ready\r\n");
      visitor.resetAndDestroy();
      const stream = await agent.event("stream", ({ end }) => end === "reset", mark);
      expect(stream).toMatchObject({ bytesIn: 0, bytesOut: 11, end: "reset", code: "cancelled" });
    },
    testLimitMs,
  );

  test(
    "passes a reset of the visitor on to the origin",
    async () => {
      const broken = Promise.withResolvers<string | undefined>();
      serve = (socket) => {
        socket.on("error", (error: NodeJS.ErrnoException) => broken.resolve(error.code));
        socket.on("close", () => broken.resolve("closed"));
        socket.write("here");
        socket.resume();
      };
      const visitor = await visit();
      await once(visitor, "data");
      visitor.resetAndDestroy();
      expect(await broken.promise).toBe("ECONNRESET");
    },
    testLimitMs,
  );

  test(
    "passes a reset of the origin on to the visitor",
    async () => {
      serve = (socket) => void socket.once("data", () => socket.resetAndDestroy());
      const visitor = await visit();
      const broken = new Promise((resolve) =>
        visitor.once("error", (error: NodeJS.ErrnoException) => resolve(error.code)),
      );
      visitor.write("boom");
      visitor.resume();
      expect(await broken).toBe("ECONNRESET");
    },
    testLimitMs,
  );

  test(
    "gives a visitor what the origin said before it broke off",
    async () => {
      const refusal = "421 busy\r\n";
      const heard: string[] = [];
      serve = (socket) => {
        socket.once("data", () => {
          socket.write(refusal);
          socket.resetAndDestroy();
        });
      };
      for (let round = 0; round < 50; round++) {
        const visitor = await visit();
        const told = untilReset(visitor);
        visitor.write("hello");
        heard.push(await told);
      }
      expect(heard).toEqual(heard.map(() => `${refusal}ECONNRESET`));
    },
    testLimitMs,
  );

  test(
    "gives an origin what the visitor said before he broke off",
    async () => {
      const heard: string[] = [];
      for (let round = 0; round < 50; round++) {
        const told = Promise.withResolvers<string>();
        serve = (socket) => {
          told.resolve(untilReset(socket));
          socket.write("here");
        };
        const visitor = await visit();
        await once(visitor, "data");
        visitor.write("QUIT ");
        visitor.resetAndDestroy();
        heard.push(await told.promise);
      }
      expect(heard).toEqual(heard.map(() => "QUIT ECONNRESET"));
    },
    testLimitMs,
  );

  test(
    "resets a visitor for whom nothing listens at the origin, and says why",
    async () => {
      const { program, url } = await start("tcp", "1");
      // The reset may be here before the system has said that the connection is.
      const visitor = connect({ port: Number(url.port), host: "127.0.0.1" });
      const broken = new Promise((resolve) =>
        visitor.once("error", (error: NodeJS.ErrnoException) => resolve(error.code)),
      );
      visitor.resume();
      expect(await broken).toBe("ECONNRESET");
      expect(await program.event("stream")).toMatchObject({ end: "reset", code: "origin-refused" });
      await program.kill();
    },
    testLimitMs,
  );

  test(
    "keeps its port for its owner: a newer agent that asks for it takes over at once, another owner is refused",
    async () => {
      serve = (socket) => void socket.end("first");
      const mine = String((origin.address() as AddressInfo).port);
      const first = await start("tcp", mine);
      const wanted = first.url.port;
      const second = await start("tcp", mine, "--remote-port", wanted);
      expect([second.url.port, second.name]).toEqual([wanted, first.name]);
      expect(await first.program.exit()).toBe(6);
      expect(await asked(Number(wanted))).toBe("first");
      const other = await relay.token({ sub: "other" });
      const refused = await startAgentOf(relay, other, ["tcp", mine, "--remote-port", wanted]).catch(
        (error: Error) => error.message,
      );
      expect(refused).toContain("port-taken");
      const before = await links();
      await second.program.kill();
      // Who comes before the relay has noticed is sent to the agent that is no more.
      while ((await links()) > before - 2);
      // Its agent is expected back: a visitor waits for it, and the same port is given again.
      const waiting = asked(Number(wanted));
      const third = await start("tcp", mine, "--remote-port", wanted);
      expect([third.url.port, await waiting]).toEqual([wanted, "first"]);
      expect(await third.program.stop()).toBe(0);
    },
    testLimitMs,
  );

  test(
    "is refused a port outside the range, and a relay without ports refuses the kind",
    async () => {
      const outside = await startAgentOf(relay, token, ["tcp", "1", "--remote-port", "1"]).catch(
        (error: Error) => error.message,
      );
      expect(outside).toContain("port-forbidden");
      const { startRelay } = await import("./programs/relay.ts");
      const bare = await startRelay();
      const none = await startAgentOf(bare, await bare.token(), ["udp", "1"]).catch(
        (error: Error) => error.message,
      );
      expect(none).toContain("kind-unavailable");
      await bare.kill();
    },
    testLimitMs,
  );

  test(
    "opens and closes 1,000 visitors at once: none is stuck, none is left",
    async () => {
      serve = (socket) => void socket.pipe(socket);
      const { mark } = agent;
      const visitors = Array.from({ length: 1_000 }, async (_, index) => {
        const socket = await visit();
        const text = `visitor ${index}`;
        if (index % 4 === 3) {
          socket.on("error", () => {});
          socket.write("x");
          await once(socket, "data");
          socket.resetAndDestroy();
          return true;
        }
        socket.end(text);
        return (await all(socket)) === text;
      });
      expect((await Promise.all(visitors)).filter((right) => !right)).toEqual([]);
      await agent.event(
        "stream",
        () => agent.events.slice(mark).filter(({ event }) => event === "stream").length >= 1_000,
        mark,
      );
      // The agent's side ends first.
      let open: string | undefined;
      for (let look = 0; look < 500 && open !== "0"; look++) {
        const metrics = await (await fetch(`${relay.url}/metrics`)).text();
        open = /^underpass_streams_open (\d+)$/m.exec(metrics)?.[1];
      }
      expect(open).toBe("0");
    },
    testLimitMs,
  );

  test(
    "private: both links of a connect are lost in turn, and a stream goes on; one that is not granted never listens",
    async () => {
      serve = (socket) => void socket.pipe(socket);
      await start("private", String((origin.address() as AddressInfo).port), "--name", "box");
      const proxy = await FaultProxy.listen(relay.url);
      const { url } = await startAgentOf(proxy, token, ["connect", "box", "--listen", "127.0.0.1:0"]).then(
        (started) => {
          programs.push(started.program);
          return started;
        },
      );
      const socket = await visit(Number(url.port));
      for (let round = 0; round < 4; round++) {
        socket.write(`round ${round}`);
        const [back] = await once(socket, "data");
        expect(String(back)).toBe(`round ${round}`);
        for (const pipe of proxy.live) pipe.fault("reset");
      }
      socket.end("bye");
      expect(await all(socket)).toBe("bye");
      await proxy.close();
      const denied = await startAgentOf(relay, await relay.token(), [
        "connect",
        "box",
        "--listen",
        "127.0.0.1:0",
      ]).catch((error: Error) => error.message);
      expect(denied).toContain("connect-denied");
    },
    testLimitMs,
  );

  test(
    "private: an origin that does not read stops the one who sends, and nobody on the way keeps more than windows",
    async () => {
      let sockets = 0;
      serve = (socket) => void (sockets++ === 0 ? socket.pause() : socket.pipe(socket));
      const { url } = await start("connect", "box", "--listen", "127.0.0.1:0", "--links", "1");
      const sender = await visit(Number(url.port));
      const piece = new Uint8Array(1_048_576);
      let stopped = false;
      const sending = (async () => {
        for (let sent = 0; sent < 400 && !stopped; sent++)
          if (!sender.write(piece)) await Promise.race([once(sender, "drain"), once(sender, "close")]);
      })();
      const other = await visit(Number(url.port));
      for (let round = 0; round < 400; round++) {
        other.write("x".repeat(10_000));
        for (let got = 0; got < 10_000; ) got += String((await once(other, "data"))[0]).length;
      }
      const taken = sender.bytesWritten - sender.writableLength;
      expect(taken).toBeGreaterThan(65_536);
      expect(taken).toBeLessThan(100 * 1_048_576);
      stopped = true;
      sender.on("error", () => {});
      sender.resetAndDestroy();
      other.destroy();
      await sending;
    },
    testLimitMs,
  );
});
