import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { Program } from "./programs/program.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { within } from "./programs/within.ts";
import { answerOk, RawOrigin } from "./raw/origin.ts";
import { Visitor } from "./raw/visitor.ts";

const testLimitMs = 60_000;
/** Much less than the grace, and than the time that an idle visitor gets. */
const soonMs = 4_000;

let origin: RawOrigin;
let relay: Relay | undefined;
let agent: Program | undefined;

beforeAll(async () => {
  origin = await RawOrigin.listen();
}, testLimitMs);
afterEach(async () => {
  origin.script = answerOk;
  await Promise.all([relay?.kill(), agent?.kill()]);
  relay = agent = undefined;
});
afterAll(() => origin?.close());

async function tunnel(): Promise<Relay> {
  relay = await startRelay();
  agent = await startAgent(relay, { origin: origin.port, name: "blue", token: await relay.token() });
  return relay;
}

const visitor = (at: Relay, name = "blue") => Visitor.connect({ port: at.port, host: at.hostFor(name) });

async function get(from: Visitor, path = "/"): Promise<{ status: number; text: string; connection: string }> {
  await from.send(`GET ${path} HTTP/1.1\r\nHost: HOST\r\n\r\n`);
  const { status, head, body } = await from.answer();
  return { status, text: await body.text(), connection: head.field("connection") ?? "" };
}

/** SIGTERM, until nobody is let in any more. */
async function drain({ program, port }: Relay): Promise<void> {
  program?.signal("SIGTERM");
  await program?.output((_, stderr) => stderr.includes("Stopping"));
  const refused = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ port, host: "127.0.0.1" });
      socket.once("error", () => resolve(true));
      socket.once("connect", () => {
        socket.destroy();
        resolve(false);
      });
    });
  while (!(await refused()));
}

const exit = ({ program }: Relay) => within(program?.exited ?? Promise.reject(), soonMs, () => "the exit");

// A relay in workerd is stopped by its platform.
describe.skipIf(relayRuntime === "workerd")("a relay that drains", () => {
  test(
    "ends at once where no visitor is, be there agents",
    async () => {
      const own = await tunnel();
      own.program?.signal("SIGTERM");
      expect(await exit(own)).toBe(0);
    },
    testLimitMs,
  );

  test(
    "serves what comes on sockets that were idle, says that it was the last on them, and ends when they are gone",
    async () => {
      const own = await tunnel();
      using first = await visitor(own);
      using second = await visitor(own);
      using fresh = await visitor(own);
      expect(await get(first)).toEqual({ status: 200, text: "ok", connection: "" });
      expect(await get(second)).toMatchObject({ status: 200 });
      await drain(own);
      for (const idle of [first, second, fresh]) {
        expect(await get(idle)).toEqual({ status: 200, text: "ok", connection: "close" });
        expect(await idle.wire.over).toBe("fin");
        idle.close();
      }
      expect(await exit(own)).toBe(0);
    },
    testLimitMs,
  );

  test(
    "closes sockets that stay idle, long before its grace has passed",
    async () => {
      const own = await tunnel();
      using idle = await visitor(own);
      expect(await get(idle)).toMatchObject({ status: 200 });
      await drain(own);
      expect(await idle.wire.over).toBe("fin");
      // What comes now can't be answered any more: it must not reach the origin.
      const seen = origin.exchanges.length;
      await idle.send("GET /late HTTP/1.1\r\nHost: HOST\r\n\r\n");
      idle.close();
      expect(await exit(own)).toBe(0);
      expect(origin.exchanges.length).toBe(seen);
    },
    testLimitMs,
  );

  test(
    "is not ready, and says so on a socket that was open before",
    async () => {
      const own = await tunnel();
      using probe = await Visitor.connect({ port: own.port, host: `127.0.0.1:${own.port}` });
      expect(await get(probe, "/readyz")).toMatchObject({ status: 200, text: "ready\n" });
      await drain(own);
      expect(await get(probe, "/readyz")).toMatchObject({ status: 503, text: "draining\n" });
    },
    testLimitMs,
  );

  test(
    "keeps its agents for requests that come late in a long answer's time",
    async () => {
      const own = await tunnel();
      const goOn = Promise.withResolvers<void>();
      origin.script = async (exchange) => {
        if (exchange.head.target === "/long") {
          await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg");
          await goOn.promise;
          await exchange.send("end");
        } else await answerOk(exchange);
      };
      using long = await visitor(own);
      using other = await visitor(own);
      await long.send("GET /long HTTP/1.1\r\nHost: HOST\r\n\r\n");
      const answer = await long.answer();
      expect(await answer.body.atLeast(3)).toBe("beg");
      await drain(own);
      expect(await get(other)).toMatchObject({ status: 200, text: "ok" });
      goOn.resolve();
      expect(await answer.body.text()).toBe("end");
      expect(answer.body.complete).toBe(true);
    },
    testLimitMs,
  );
});
