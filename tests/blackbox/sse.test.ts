import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { Ongoing } from "./ongoing.ts";
import { NginxProxy, nginxBinary } from "./programs/nginx-proxy.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, startRelay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { answerOk, RawOrigin } from "./raw/origin.ts";
import { type Target, Visitor, visit } from "./raw/visitor.ts";
import { opcodes, RawWebSocket } from "./raw/websocket.ts";

const testLimitMs = 60_000;
const bigBytes = 20_000_000;

let origin: RawOrigin;
let relay: Relay;
let token: string;
let target: Target;

beforeAll(async () => {
  origin = await RawOrigin.listen();
  relay = await startRelay();
  token = await relay.token();
  target = { port: relay.port, host: relay.hostFor("blue") };
}, testLimitMs);
afterEach(() => {
  origin.script = answerOk;
});
afterAll(async () => {
  await relay?.kill();
  await origin?.close();
});

/** An agent whose links go to `url`; all that it told is in the end about links over `transports`. */
const agentAt = (url: string, ...args: string[]): Promise<Program> =>
  startAgent({ ...relay, url }, { origin: origin.port, name: "blue", token, args });

const transports = (agent: Program): unknown[] =>
  agent.events
    .filter(({ event, state }) => event === "link" && state === "up")
    .map((link) => link["transport"]);

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** 20 MB each way at once, compared by their digests. */
async function bigBodiesPass(): Promise<void> {
  const [down, up] = [randomBytes(bigBytes), randomBytes(bigBytes)];
  let arrived = "";
  origin.script = async (exchange) => {
    if (exchange.head.method === "GET") {
      await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${down.length}\r\n\r\n`);
      await exchange.send(down);
      return;
    }
    const hash = createHash("sha256");
    for (let piece = await exchange.body.piece(); piece !== undefined; piece = await exchange.body.piece())
      hash.update(piece);
    arrived = hash.digest("hex");
    await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  const download = async (): Promise<void> => {
    using visitor = await Visitor.connect(target);
    await visitor.send("GET /down HTTP/1.1\r\nHost: HOST\r\n\r\n");
    const { body } = await visitor.answer();
    const hash = createHash("sha256");
    for (let piece = await body.piece(); piece !== undefined; piece = await body.piece()) hash.update(piece);
    expect(hash.digest("hex")).toBe(sha256(down));
  };
  const upload = async (): Promise<void> => {
    using visitor = await Visitor.connect(target);
    await visitor.send(`POST /up HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${up.length}\r\n\r\n`);
    await visitor.wire.send(up);
    expect((await visitor.answer()).status).toBe(200);
    expect(arrived).toBe(sha256(up));
  };
  await Promise.all([download(), upload()]);
}

/** What visitors do, through whatever there is between. */
async function visitorsAreServed(): Promise<void> {
  for (let i = 0; i < 20; i++) expect((await visit(target, `/${i}`)).text).toBe("ok");
  const many = await Promise.all(Array.from({ length: 50 }, (_, i) => visit(target, `/at-once/${i}`)));
  expect(many.map(({ status }) => status)).toEqual(Array(50).fill(200));
  using ongoing = await Ongoing.start(target, origin);
  await ongoing.moved();
  const { sent, received, outOfTurn, messages } = await ongoing.finish();
  expect(received).toEqual(sent);
  expect([outOfTurn, messages > 0]).toEqual([[], true]);
  await bigBodiesPass();
}

describe("without WebSocket", () => {
  let agent: Program;
  let proxy: FaultProxy;

  beforeAll(async () => {
    proxy = await FaultProxy.listen(relay.url);
    agent = await agentAt(proxy.url, "--transport", "sse");
  }, testLimitMs);
  afterAll(async () => {
    await agent?.kill();
    await proxy?.close();
  });

  test(
    "requests, WebSockets and bodies of 20 MB both ways pass as they do with it",
    async () => {
      await visitorsAreServed();
      expect(new Set(transports(agent))).toEqual(new Set(["sse"]));
      expect(agent.events.filter(({ state }) => state === "lost")).toEqual([]);
    },
    testLimitMs,
  );

  test(
    "a download and a WebSocket see a pause and nothing else when all sockets are cut, wherever in a message",
    async () => {
      using ongoing = await Ongoing.start(target, origin);
      await ongoing.moved();
      for (const [bytes, direction, fault] of [
        [0, "down", "reset"],
        [777, "down", "reset"],
        [0, "down", "end"],
        [5_000, "up", "reset"],
        [3_333, "down", "end"],
        [70_000, "up", "end"],
      ] as const) {
        const { mark } = agent;
        if (bytes === 0) proxy.fault(fault);
        else proxy.faultAfter(bytes, direction, fault);
        // On its way up a link has many sockets, and is not lost with them.
        if (direction === "down") {
          const { link } = await agent.event("link", ({ state }) => state === "lost", mark);
          await agent.event("link", (event) => event["state"] === "up" && event["link"] === link, mark);
        }
        await ongoing.moved();
      }
      const { sent, received, outOfTurn } = await ongoing.finish();
      expect(received).toEqual(sent);
      expect(outOfTurn).toEqual([]);
      expect(new Set(transports(agent))).toEqual(new Set(["sse"]));
      const ready = agent.events.filter(({ event }) => event === "ready");
      expect(ready.slice(1).map(({ resumed }) => resumed)).toEqual(Array(ready.length - 1).fill(true));
    },
    testLimitMs,
  );

  test(
    "a way up that is cut again and again while the way down lives costs no link",
    async () => {
      using ongoing = await Ongoing.start(target, origin);
      await ongoing.moved();
      const { mark } = agent;
      let cuts = 0;
      for (let i = 0; i < 5; i++) {
        // What carries POSTs has sent more than a dial's request.
        for (const pipe of proxy.live.filter((each) => each.given("up") > 2_000)) {
          pipe.fault("reset");
          cuts++;
        }
        await ongoing.moved();
      }
      expect(cuts).toBeGreaterThanOrEqual(5);
      const { sent, received, outOfTurn } = await ongoing.finish();
      expect(received).toEqual(sent);
      expect(outOfTurn).toEqual([]);
      expect(agent.events.slice(mark).filter(({ state }) => state === "lost")).toEqual([]);
    },
    testLimitMs,
  );
});

describe("through something that kills WebSockets", () => {
  // Within the 101; in the handshake; once it has carried something.
  for (const bytes of [10, 300, 1_500]) {
    test(
      `after ${bytes} bytes, an agent goes without by itself`,
      async () => {
        const proxy: FaultProxy = await FaultProxy.listen(relay.url, {
          tap: ({ index }) => {
            return (direction, sent) => {
              if (direction !== "up" || !sent.includes("Sec-WebSocket-Key")) return;
              // The pipe is not in the list before its first bytes.
              void proxy.pipe(index).then((pipe) => pipe.faultAfter(bytes, "down", "reset"));
            };
          },
        });
        const agent = await agentAt(proxy.url, "--links", "1");
        try {
          // Visitors notice nothing of all that.
          do expect((await visit(target)).text).toBe("ok");
          while (!transports(agent).includes("sse"));
          for (let i = 0; i < 20; i++) expect((await visit(target)).text).toBe("ok");
          expect(transports(agent).at(-1)).toBe("sse");
          expect(agent.events.filter(({ fatal }) => fatal === true)).toEqual([]);
        } finally {
          await agent.kill();
          await proxy.close();
        }
      },
      testLimitMs,
    );
  }
});

describe.skipIf(nginxBinary === undefined)("behind an nginx with its defaults", () => {
  let nginx: NginxProxy;
  let agent: Program;

  beforeAll(async () => {
    nginx = await NginxProxy.start(relay.url, "takes-away");
    agent = await agentAt(nginx.url, "--websocket-retry", "1s", "--links", "1");
  }, testLimitMs);
  afterAll(async () => {
    await agent?.kill();
    await nginx?.close();
  });

  test(
    "which takes upgrades away, an agent goes without WebSocket by itself, and visitors are served",
    async () => {
      expect(transports(agent)).toEqual(["sse"]);
      await visitorsAreServed();
      expect(new Set(transports(agent))).toEqual(new Set(["sse"]));
    },
    testLimitMs,
  );

  test(
    "that is restarted, what is open goes on",
    async () => {
      using ongoing = await Ongoing.start(target, origin);
      await ongoing.moved();
      const { mark } = agent;
      await nginx.halt();
      await agent.event("link", ({ state }) => state === "lost", mark);
      await nginx.run();
      await agent.event("link", ({ state }) => state === "up", mark);
      await ongoing.moved();
      const { sent, received, outOfTurn } = await ongoing.finish();
      expect(received).toEqual(sent);
      expect(outOfTurn).toEqual([]);
    },
    testLimitMs,
  );

  test(
    "once it forwards upgrades the agent moves to a WebSocket, and no stream notices",
    async () => {
      const socket = await (async () => {
        origin.script = async (exchange) => {
          if (exchange.head.field("upgrade") === undefined) return answerOk(exchange);
          const echo = await RawWebSocket.accept(exchange);
          for (;;) await echo.send(opcodes.text, await echo.text());
        };
        return RawWebSocket.connect(target);
      })();
      using ongoing = await Ongoing.start(target, origin);
      await ongoing.moved();
      const { mark } = agent;
      await nginx.reload("forwards");
      const moved = await agent.event("link", ({ transport }) => transport === "ws", mark);
      expect(moved["state"]).toBe("up");
      await ongoing.moved();
      await socket.send(opcodes.text, "still here");
      expect(await socket.text()).toBe("still here");
      const { sent, received, outOfTurn } = await ongoing.finish();
      expect(received).toEqual(sent);
      expect(outOfTurn).toEqual([]);
      const told = agent.events.slice(mark).map(({ event, state }) => `${event} ${state}`);
      expect(told.filter((line) => line === "link lost" || line.startsWith("error"))).toEqual([]);
      socket.close();
    },
    testLimitMs,
  );
});
