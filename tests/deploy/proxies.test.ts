import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { Ongoing } from "../blackbox/ongoing.ts";
import { agentProgram } from "../blackbox/programs/agent.ts";
import { freePort } from "../blackbox/programs/free-port.ts";
import { installed } from "../blackbox/programs/installed.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { type Relay, startRelay } from "../blackbox/programs/relay.ts";
import { run } from "../blackbox/programs/run.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { type Target, Visitor, visit } from "../blackbox/raw/visitor.ts";
import { closePayload, opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { caddy, FrontProxy, frontDomain, nginx } from "./proxies/front-proxy.ts";

const testLimitMs = 60_000;
const bigBytes = 8 * 2 ** 20;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

for (const proxy of [nginx, caddy]) {
  const title = `deploy/${proxy.file}${proxy.binary === undefined ? ` (skipped: ${proxy.name} is not installed)` : ""}`;
  describe.skipIf(proxy.binary === undefined)(title, () => {
    let origin: RawOrigin;
    let relay: Relay;
    let front: FrontProxy;
    let token: string;
    /** Through the proxy by https, and straight to the relay. */
    let through: Target;
    let straight: Target;
    const agents: Program[] = [];

    /** An agent whose links come through the proxy. */
    const agentBehind = async (...args: readonly string[]): Promise<Program> => {
      const url = `https://127.0.0.1:${through.port}`;
      const agent = agentProgram(
        ["http", String(origin.port), "--relay", url, "--name", "blue", "--json", ...args],
        { env: { UNDERPASS_TOKEN: token, NODE_EXTRA_CA_CERTS: front.caFile } },
      );
      agents.push(agent);
      await agent.event("ready");
      return agent;
    };
    const transports = (agent: Program): unknown[] => [
      ...new Set(agent.events.filter(({ state }) => state === "up").map((link) => link["transport"])),
    ];

    beforeAll(async () => {
      origin = await RawOrigin.listen();
      const port = await freePort();
      relay = await startRelay({
        domain: frontDomain,
        args: ["--public-url", `https://${frontDomain}:${port}`, "--trust-proxy", "127.0.0.1"],
      });
      token = await relay.token();
      front = await FrontProxy.start(proxy, `127.0.0.1:${relay.port}`, port);
      through = { port, host: `blue.${frontDomain}:${port}`, ca: front.ca };
      straight = { port: relay.port, host: `blue.${frontDomain}` };
      await agentBehind();
    }, testLimitMs);
    afterEach(async () => {
      origin.script = answerOk;
      for (const agent of agents.splice(1)) await agent.kill();
    });
    afterAll(async () => {
      for (const agent of agents) await agent.kill();
      await front?.close();
      await relay?.kill();
      await origin?.close();
    });

    test("a visitor's request arrives as it was, with his address and his scheme", async () => {
      const target = "/a//b%2Fc/../d?e=%20";
      const { text } = await visit(through, target, ["X-Forwarded-For: 198.51.100.1", "X_Odd: 1"]);
      expect(text).toBe("ok");
      const head = origin.exchanges.at(-1)?.head;
      expect(head?.target).toBe(target);
      expect(head?.all("host")).toEqual([through.host]);
      expect(head?.all("x-forwarded-proto")).toEqual(["https"]);
      expect(head?.all("x_odd")).toEqual(["1"]);
    });

    test.skipIf(!installed("curl"))(
      "origins get to know a visitor's own address, by HTTP/2 too, and none that he makes up",
      async () => {
        for (const version of ["--http1.1", "--http2"]) {
          const name = `blue.${frontDomain}`;
          const from = ["--interface", "127.0.0.2", "--resolve", `${name}:${through.port}:127.0.0.1`];
          const shown = [
            "--cacert",
            front.caFile,
            "--silent",
            "--show-error",
            "--write-out",
            " %{http_version}",
          ];
          const forged = [
            "--header",
            "X-Forwarded-For: 198.51.100.1",
            "--header",
            "Forwarded: for=198.51.100.1",
          ];
          const url = `https://${name}:${through.port}/`;
          const { stdout } = await run(["curl", version, ...from, ...shown, ...forged, url], {
            limitMs: testLimitMs,
          });
          expect(stdout).toBe(version === "--http2" ? "ok 2" : "ok 1.1");
          const head = origin.exchanges.at(-1)?.head;
          expect(head?.all("x-forwarded-for")).toEqual(["127.0.0.2"]);
          expect(head?.all("forwarded").join()).toStartWith("for=127.0.0.2;");
        }
      },
      testLimitMs,
    );

    test("plain http leads to https", async () => {
      const { status, head } = await visit({ port: front.http, host: `blue.${frontDomain}` }, "/a?b");
      expect(status).toBe(308);
      expect(head.field("location")).toMatch(/^https:\/\/blue\.tunnels\.localhost(?::\d+)?\/a\?b$/);
    });

    test.each(["Content-Type: text/event-stream", "Content-Type: text/plain", "Content-Length: 18"])(
      "what a service has written of an answer arrives before it writes more (%s)",
      async (field) => {
        const go = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
        origin.script = async ({ send }) => {
          const chunked = !field.startsWith("Content-Length");
          const framed = (text: string) => (chunked ? `6\r\n${text}\r\n` : text);
          await send(`HTTP/1.1 200 OK\r\n${field}\r\n${chunked ? "Transfer-Encoding: chunked\r\n" : ""}\r\n`);
          await send(framed("data1\n"));
          await go[0]?.promise;
          await send(framed("data2\n"));
          await go[1]?.promise;
          await send(`${framed("data3\n")}${chunked ? "0\r\n\r\n" : ""}`);
        };
        using visitor = await Visitor.connect(through);
        await visitor.send("GET /events HTTP/1.1\r\nHost: HOST\r\n\r\n");
        const { body } = await visitor.answer();
        expect(await body.atLeast(6)).toBe("data1\n");
        go[0]?.resolve();
        expect(await body.atLeast(6)).toBe("data2\n");
        go[1]?.resolve();
        expect(await body.text()).toBe("data3\n");
      },
      testLimitMs,
    );

    test(
      "what a visitor has sent of an upload arrives before he sends more",
      async () => {
        const first = Promise.withResolvers<string>();
        origin.script = async ({ body, send }) => {
          first.resolve(await body.atLeast(4));
          await body.text();
          await send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        };
        using visitor = await Visitor.connect(through);
        await visitor.send("POST /up HTTP/1.1\r\nHost: HOST\r\nContent-Length: 8\r\n\r\npart");
        expect(await first.promise).toBe("part");
        await visitor.send("more");
        expect(await (await visitor.answer()).body.text()).toBe("ok");
      },
      testLimitMs,
    );

    test(
      "a service hears at once that its visitor left",
      async () => {
        const left = Promise.withResolvers<unknown>();
        origin.script = async ({ send, wire }) => {
          await send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata1\n");
          left.resolve(await wire.over);
        };
        using visitor = await Visitor.connect(through);
        await visitor.send("GET /left HTTP/1.1\r\nHost: HOST\r\n\r\n");
        await (await visitor.answer()).body.atLeast(6);
        visitor.close();
        await left.promise;
      },
      testLimitMs,
    );

    test(
      "a WebSocket carries messages both ways, and closes with its code",
      async () => {
        origin.script = async (exchange) => {
          const echo = await RawWebSocket.accept(exchange);
          for (;;) {
            const { opcode, payload } = await echo.frame();
            await echo.send(opcode, payload);
            if (opcode === opcodes.close) return;
          }
        };
        using socket = await RawWebSocket.connect(through);
        expect(socket.head.status).toBe(101);
        const large = randomBytes(300_000);
        await socket.send(opcodes.text, "hello");
        expect(await socket.text()).toBe("hello");
        await socket.send(opcodes.binary, large);
        expect(sha256((await socket.message()).payload)).toBe(sha256(large));
        await socket.send(opcodes.close, closePayload(4321, "bye"));
        expect((await socket.frame()).payload).toEqual(Buffer.from(closePayload(4321, "bye")));
      },
      testLimitMs,
    );

    test(
      "an upload and a download of 8 MiB arrive whole, by links of both kinds",
      async () => {
        for (const transport of ["ws", "sse"] as const) {
          const agent = await agentBehind("--transport", transport, "--name", transport);
          expect(transports(agent)).toEqual([transport]);
          await bigBodiesPass({ ...through, host: through.host.replace("blue", transport) });
          expect(transports(agent)).toEqual([transport]);
        }
      },
      testLimitMs,
    );

    /** 8 MiB each way at once. */
    async function bigBodiesPass(target: Target): Promise<void> {
      const [down, up] = [randomBytes(bigBytes), randomBytes(bigBytes)];
      const arrived = Promise.withResolvers<string>();
      origin.script = async ({ head, body, send }) => {
        if (head.method === "GET") {
          await send(`HTTP/1.1 200 OK\r\nContent-Length: ${down.length}\r\n\r\n`);
          return send(down);
        }
        const hash = createHash("sha256");
        for (let piece = await body.piece(); piece !== undefined; piece = await body.piece())
          hash.update(piece);
        arrived.resolve(hash.digest("hex"));
        await send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      };
      const download = async (): Promise<string> => {
        using visitor = await Visitor.connect(target);
        await visitor.send("GET /down HTTP/1.1\r\nHost: HOST\r\n\r\n");
        const { body } = await visitor.answer();
        const hash = createHash("sha256");
        for (let piece = await body.piece(); piece !== undefined; piece = await body.piece())
          hash.update(piece);
        return hash.digest("hex");
      };
      const upload = async (): Promise<string> => {
        using visitor = await Visitor.connect(target);
        await visitor.send(`POST /up HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${up.length}\r\n\r\n`);
        await visitor.wire.send(up);
        expect((await visitor.answer()).status).toBe(200);
        return arrived.promise;
      };
      expect(await Promise.all([download(), upload()])).toEqual([sha256(down), sha256(up)]);
    }

    const visitors = proxy.reload === "keeps" ? "through it" : "elsewhere";
    test(
      `a reload costs no stream, of visitors ${visitors}`,
      async () => {
        const agent = agents[0] as Program;
        using ongoing = await Ongoing.start(proxy.reload === "keeps" ? through : straight, origin);
        await ongoing.moved();
        const { mark } = agent;
        await front.reload();
        if (proxy.reload === "cuts") await agent.event("link", ({ state }) => state === "up", mark);
        await ongoing.moved();
        expect((await visit(through)).text).toBe("ok");
        const { sent, received, outOfTurn } = await ongoing.finish();
        expect(received).toEqual(sent);
        expect(outOfTurn).toEqual([]);
      },
      testLimitMs,
    );

    for (const transport of ["ws", "sse"]) {
      test(
        `what is open goes on when the proxy that carries ${transport} links dies and comes back`,
        async () => {
          const agent = await agentBehind("--transport", transport, "--name", "green");
          using ongoing = await Ongoing.start({ ...straight, host: `green.${frontDomain}` }, origin);
          await ongoing.moved();
          const { mark } = agent;
          await front.kill();
          await agent.event("link", ({ state }) => state === "lost", mark);
          await front.run();
          await agent.event("link", ({ state }) => state === "up", mark);
          await ongoing.moved();
          const { sent, received, outOfTurn } = await ongoing.finish();
          expect(received).toEqual(sent);
          expect(outOfTurn).toEqual([]);
          expect(transports(agent)).toEqual([transport]);
        },
        testLimitMs,
      );
    }
  });
}
