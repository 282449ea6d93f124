import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startEcho } from "../blackbox/origins/echo.ts";
import { type DeployRelay, startDeployRelay } from "../blackbox/programs/deploy-relay.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { Visitor, visit } from "../blackbox/raw/visitor.ts";
import { opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { Door } from "../cluster/door.ts";
import { NatsServer, natsServerPath } from "../cluster/nats-server.ts";

// Two processes of an app on Deno Deploy, which share nothing but NATS: nobody can choose which one he meets. A door stands
// for the platform, which hands whoever comes to the process that a test says.

const testLimitMs = 60_000;
/** Deploy's own: from SIGINT to SIGKILL. */
const killAfterMs = 5_000;

describe.skipIf(natsServerPath === undefined)("two processes of an app, with a NATS", () => {
  let nats: NatsServer;
  let a: DeployRelay;
  let b: DeployRelay;
  let origin: RawOrigin;
  let admin: string;
  let clusterEnv: Record<string, string>;

  const target = (relay: DeployRelay, name: string) => ({ port: relay.port, host: relay.hostFor(name) });

  /** What a relay tells; nothing says when it has heard of something but itself. */
  const asked = async (relay: DeployRelay, path: string): Promise<string> => {
    const answer = await fetch(`${relay.url}${path}`, { headers: { Authorization: `Bearer ${admin}` } });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
    return answer.text();
  };
  const figure = async (relay: DeployRelay, name: string): Promise<number> =>
    Number(new RegExp(`^${name} (\\d+)$`, "m").exec(await asked(relay, "/metrics"))?.[1]);
  const revoke = (relay: DeployRelay, sub: string): Promise<Response> =>
    fetch(`${relay.url}/_underpass/revocations`, {
      method: "POST",
      headers: { Authorization: `Bearer ${admin}` },
      body: JSON.stringify({ sub }),
    });
  /** Once a visitor of the tunnel is not turned away there as one that nobody has. */
  const known = async (relay: DeployRelay, name: string): Promise<void> => {
    while ((await visit(target(relay, name))).status === 404);
  };
  const start = async (relay: Pick<DeployRelay, "url">, name: string, port = origin.port): Promise<Program> =>
    startAgent(
      { ...a, url: relay.url },
      { origin: port, name, token: await a.token(), args: ["--links", "1"] },
    );

  beforeAll(async () => {
    [nats, origin] = await Promise.all([NatsServer.start(), RawOrigin.listen()]);
    clusterEnv = { UNDERPASS_CLUSTER: nats.url };
    a = await startDeployRelay({ env: clusterEnv });
    b = await startDeployRelay({ env: clusterEnv, data: a.data });
    admin = await a.token({ sub: "root", admin: true });
  }, testLimitMs);
  afterAll(async () => {
    await b?.kill();
    await a?.kill();
    await origin?.close();
    await nats?.close();
  });

  test(
    "a visitor of the one reaches the agent at the other, each body as it comes",
    async () => {
      const agent = await start(a, "blue");
      await known(b, "blue");
      const first = origin.exchanges.length;
      origin.script = async ({ body, send }) => {
        await send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (let piece = await body.piece(); piece !== undefined; piece = await body.piece())
          await send(`${piece.length.toString(16)}\r\n${Buffer.from(piece).toString("latin1")}\r\n`);
        await send("0\r\n\r\n");
      };
      using visitor = await Visitor.connect(target(b, "blue"));
      await visitor.send(
        "POST /a%2Fb HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
      );
      const { status, body } = await visitor.answer();
      expect([status, await body.atLeast(3)]).toEqual([200, "one"]);
      await visitor.send("3\r\ntwo\r\n");
      expect(await body.atLeast(3)).toBe("two");
      await visitor.send("0\r\n\r\n");
      expect([await body.text(), body.complete]).toEqual(["", true]);
      const { head } = await origin.arrived(first);
      expect([head.target, head.field("x-forwarded-proto")]).toEqual(["/a%2Fb", "https"]);
      origin.script = answerOk;
      await agent.kill();
    },
    testLimitMs,
  );

  test(
    "carries 16 MiB from one to the other and back",
    async () => {
      const echo = Bun.serve({
        ...{ port: 0, hostname: "127.0.0.1" },
        fetch: ({ body }) => new Response(body),
      });
      const agent = await start(a, "bulk", Number(echo.port));
      await known(b, "bulk");
      const whole = new Uint8Array(16 * 1_048_576);
      for (let i = 0; i < whole.length; i++) whole[i] = (i * 31 + (i >>> 9)) & 0xff;
      const answer = await fetch(`${b.url}/~bulk/`, { method: "POST", body: whole });
      expect(Buffer.compare(await answer.bytes(), whole)).toBe(0);
      await agent.kill();
      await echo.stop(true);
    },
    testLimitMs,
  );

  test(
    "a WebSocket has its messages both ways",
    async () => {
      const echo = startEcho();
      const agent = await start(a, "echo", echo.port);
      await known(b, "echo");
      using socket = await RawWebSocket.connect(target(b, "echo"));
      for (const word of ["one", "two"]) {
        await socket.send(opcodes.text, word);
        expect(await socket.text()).toBe(word);
      }
      const bytes = new Uint8Array(300_000).fill(7);
      await socket.send(opcodes.binary, bytes);
      expect((await socket.message()).payload.length).toBe(bytes.length);
      await agent.kill();
      echo.close();
    },
    testLimitMs,
  );

  test(
    "an agent's link that comes to the other process is passed on, and what was open goes on",
    async () => {
      const door = await Door.open(a.port);
      const agent = await start(door, "moved");
      const goOn = Promise.withResolvers<void>();
      origin.script = async (exchange) => {
        await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 400006\r\n\r\nbeg");
        await goOn.promise;
        await exchange.send("x".repeat(400_000));
        await exchange.send("end");
      };
      using here = await Visitor.connect(target(a, "moved"));
      await here.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      const { body } = await here.answer();
      expect(await body.atLeast(3)).toBe("beg");
      const passed = await figure(b, "underpass_links_passed_total");
      door.to = b.port;
      door.cut();
      goOn.resolve();
      const text = await body.text();
      expect([text.length, text.slice(-3), body.complete]).toEqual([400_003, "end", true]);
      expect((await figure(b, "underpass_links_passed_total")) - passed).toBe(1);
      origin.script = answerOk;
      for (const relay of [a, b]) expect((await visit(target(relay, "moved"))).status).toBe(200);
      await agent.kill();
      door.close();
    },
    testLimitMs,
  );

  test(
    "a revocation at the one ends what goes on at the other at once, and no process lets him in",
    async () => {
      const token = await a.token({ sub: "alice" });
      const agent = await startAgent(a, { origin: origin.port, name: "alices", token });
      expect((await revoke(b, "alice")).status).toBe(201);
      expect(await agent.exit()).toBe(3);
      for (const relay of [a, b]) {
        const again = startAgent(relay, { origin: origin.port, name: "alices", token });
        await expect(again).rejects.toThrow("unauthorized");
      }
    },
    testLimitMs,
  );

  test(
    "one that is to end in five seconds is left in order: its agents come to the other, and what can finish does",
    async () => {
      const leaving = await startDeployRelay({ env: clusterEnv, data: a.data });
      const door = await Door.open(leaving.port);
      const agent = await start(door, "moving");
      await known(b, "moving");
      const goOn = Promise.withResolvers<void>();
      origin.script = async (exchange) => {
        if (exchange.head.target === "/") return answerOk(exchange);
        await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg");
        if (exchange.head.target === "/short") await goOn.promise;
        else await new Promise(() => {});
        await exchange.send("end");
      };
      using short = await Visitor.connect(target(b, "moving"));
      using endless = await Visitor.connect(target(b, "moving"));
      await short.send("GET /short HTTP/1.1\r\nHost: HOST\r\n\r\n");
      await endless.send("GET /endless HTTP/1.1\r\nHost: HOST\r\n\r\n");
      const { body } = await short.answer();
      const { body: never } = await endless.answer();
      expect([await body.atLeast(3), await never.atLeast(3)]).toEqual(["beg", "beg"]);
      const { mark } = agent;
      door.to = b.port;
      leaving.program.signal("SIGINT");
      const kill = setTimeout(() => leaving.program.signal("SIGKILL"), killAfterMs);
      await agent.event("ready", () => true, mark);
      expect((await visit(target(a, "moving"))).status).toBe(200);
      goOn.resolve();
      expect([await body.text(), body.complete]).toEqual(["end", true]);
      expect(await leaving.program.exit()).toBe(0);
      clearTimeout(kill);
      await never.text();
      expect(never.complete).toBe(false);
      for (const relay of [a, b]) expect((await visit(target(relay, "moving"))).status).toBe(200);
      origin.script = answerOk;
      await agent.kill();
      door.close();
    },
    testLimitMs,
  );

  test(
    "while NATS says nothing a revocation is refused and nothing of it holds, those that were made do, and the end comes in time",
    async () => {
      const leaving = await startDeployRelay({ env: clusterEnv, data: a.data });
      const token = await a.token({ sub: "bob" });
      const agent = await startAgent(leaving, { origin: origin.port, name: "bobs", token });
      const dave = await a.token({ sub: "dave" });
      expect((await revoke(leaving, "dave")).status).toBe(201);
      nats.pause();
      const refused = await revoke(leaving, "bob");
      expect([refused.status, refused.headers.get("underpass-error")]).toEqual([503, "registry-unreachable"]);
      expect((await visit(target(leaving, "bobs"))).status).toBe(200);
      const late = startAgent(leaving, { origin: origin.port, name: "daves", token: dave });
      await expect(late).rejects.toThrow("unauthorized");
      origin.script = async (exchange) => {
        await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg");
        await new Promise(() => {});
      };
      using endless = await Visitor.connect(target(leaving, "bobs"));
      await endless.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      expect((await endless.answer()).status).toBe(200);
      leaving.program.signal("SIGINT");
      const kill = setTimeout(() => leaving.program.signal("SIGKILL"), killAfterMs);
      expect(await leaving.program.exit()).toBe(0);
      clearTimeout(kill);
      origin.script = answerOk;
      nats.resume();
      await agent.kill();
    },
    testLimitMs,
  );
});
