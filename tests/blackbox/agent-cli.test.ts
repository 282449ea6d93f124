import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTls } from "./origins/tls.ts";
import { agentCommand, agentProgram } from "./programs/agent.ts";
import { freePort } from "./programs/free-port.ts";
import { installed } from "./programs/installed.ts";
import { type Relay, relayProgram, startRelay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { answerOk, RawOrigin } from "./raw/origin.ts";
import { Visitor, visit } from "./raw/visitor.ts";
import { opcodes, RawWebSocket } from "./raw/websocket.ts";

const testLimitMs = 60_000;
const name = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

let folder: string;
let relay: Relay;
let origin: RawOrigin;
let token: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "underpass-agent-cli-"));
  origin = await RawOrigin.listen();
  relay = await startRelay();
  token = await relay.token();
}, testLimitMs);
afterAll(async () => {
  await relay?.kill();
  await origin?.close();
  await rm(folder, { recursive: true, force: true });
});

afterEach(() => {
  origin.script = answerOk;
});

const env = () => ({ UNDERPASS_TOKEN: token });
const oneLine = (text: string) => text.trim().split("\n").length === 1;

describe("agent", () => {
  test(
    "without a terminal stdout is one URL line, and SIGINT ends it with 0",
    async () => {
      const agent = agentProgram(["http", String(origin.port), "--relay", relay.url, "--name", "quiet"], {
        env: env(),
      });
      await agent.output((stdout) => stdout.includes("\n"));
      expect((await visit({ port: relay.port, host: relay.hostFor("quiet") })).text).toBe("ok");
      agent.signal("SIGINT");
      expect(await agent.exit()).toBe(0);
      expect(agent.stdout).toBe(`http://quiet.localhost:${relay.port}\n`);
      expect(agent.stderr).not.toContain("\u001b[");
    },
    testLimitMs,
  );

  test(
    "--json tells its life in order: link up, ready, request; each line is JSON",
    async () => {
      const agent = await startAgent(relay, { origin: origin.port, name: "told", token });
      await visit({ port: relay.port, host: relay.hostFor("told") }, "/some%2Fpath?q=secret");
      const request = await agent.event("request");
      expect(request).toMatchObject({ method: "GET", status: 200, bytesIn: 0, bytesOut: 2 });
      expect(String(request["path"])).toStartWith("/some%2Fpath");
      expect(typeof request["ms"]).toBe("number");
      agent.signal("SIGTERM");
      expect(await agent.exit()).toBe(0);
      for (const line of agent.stdout.trim().split("\n")) expect(() => JSON.parse(line)).not.toThrow();
      const kinds = agent.events.map((event) => event.event);
      expect(kinds.indexOf("ready")).toBeGreaterThanOrEqual(0);
      expect(kinds.indexOf("ready")).toBeLessThan(kinds.indexOf("request"));
      const link = agent.events.find((event) => event.event === "link");
      expect(link).toMatchObject({ state: "up", attempt: 0, delayMs: 0 });
    },
    testLimitMs,
  );

  test(
    "with nothing but --port a relay is embedded: listening first, then ready, and visitors by both forms",
    async () => {
      const agent = agentProgram(["--port", String(origin.port), "--listen", "127.0.0.1:0", "--json"], {
        cwd: folder,
      });
      const ready = await agent.event("ready");
      const listening = agent.events[0];
      expect(listening).toMatchObject({ event: "listening", embedded: true });
      const port = Number(new URL(String(listening?.["url"])).port);
      const given = String(ready["name"]);
      expect(given).toMatch(name);
      expect((await visit({ port, host: `${given}.localhost:${port}` })).text).toBe("ok");
      expect((await visit({ port, host: `127.0.0.1:${port}` }, `/~${given}/`)).text).toBe("ok");
      agent.signal("SIGINT");
      expect(await agent.exit()).toBe(0);
    },
    testLimitMs,
  );

  test(
    "an embedded relay takes nobody else's agent",
    async () => {
      const agent = agentProgram(["--port", String(origin.port), "--listen", "127.0.0.1:0", "--json"], {
        cwd: folder,
      });
      const url = String((await agent.event("listening"))["url"]);
      await agent.event("ready");
      const other = agentProgram(["http", "1", "--relay", url, "--name", "other"], { env: env() });
      expect(await other.exit()).toBe(3);
      await agent.stop();
    },
    testLimitMs,
  );

  test(
    "an origin is reached as http://, as a unix socket and on ::1",
    async () => {
      const path = join(folder, "origin.sock");
      const answer = () => new Response("by socket");
      const bySocket = Bun.serve({ unix: path, fetch: answer });
      const bySix = Bun.serve({ hostname: "::1", port: 0, fetch: answer });
      for (const each of [`http://127.0.0.1:${origin.port}`, `unix:${path}`, String(bySix.port)]) {
        const agent = await startAgent(relay, { origin: each, name: "kinds", token });
        expect((await visit({ port: relay.port, host: relay.hostFor("kinds") })).status).toBe(200);
        await agent.stop();
      }
      await bySocket.stop(true);
      await bySix.stop(true);
    },
    testLimitMs,
  );

  test.skipIf(!installed("openssl"))(
    "an https origin whose certificate nobody trusts is refused, and accepted with --origin-insecure",
    async () => {
      const tls = await startTls();
      const https = { origin: `https://localhost:${tls.port}`, token };
      const target = (name: string) => ({ port: relay.port, host: relay.hostFor(name) });
      const strict = await startAgent(relay, { ...https, name: "strict" });
      const refused = await visit(target("strict"));
      expect(refused.status).toBe(502);
      expect(refused.head.field("underpass-error")).toStartWith("origin-");
      await strict.stop();
      const lax = await startAgent(relay, { ...https, name: "lax", args: ["--origin-insecure"] });
      expect((await visit(target("lax"))).text).toBe("by TLS");
      using socket = await RawWebSocket.connect(target("lax"));
      await socket.send(opcodes.text, "hello");
      expect(await socket.text()).toBe("hello");
      await lax.stop();
      await tls.close();
    },
    testLimitMs,
  );

  test(
    "in a terminal a person sees the address, that it is this machine only, and each request",
    async () => {
      let screen = "";
      let shown = Promise.withResolvers<void>();
      const decoder = new TextDecoder();
      const terminal = new Bun.Terminal({
        cols: 100,
        rows: 40,
        data(_, bytes) {
          screen += decoder.decode(bytes, { stream: true });
          shown.resolve();
          shown = Promise.withResolvers();
        },
      });
      const until = async (fits: (text: string) => boolean) => {
        while (!fits(Bun.stripANSI(screen))) await shown.promise;
        return Bun.stripANSI(screen);
      };
      const command = agentCommand([
        "--port",
        String(origin.port),
        "--listen",
        "127.0.0.1:0",
        "--name",
        "seen",
      ]);
      const agent = Bun.spawn(command, {
        terminal,
        cwd: folder,
        env: { ...process.env, TERM: "xterm-256color" },
      });
      const text = await until(
        (each) => /http:\/\/seen\.localhost:\d+/.test(each) && each.includes("Ctrl-C"),
      );
      expect(text).toContain("this machine only");
      const port = Number(/http:\/\/seen\.localhost:(\d+)/.exec(text)?.[1]);
      expect((await visit({ port, host: "seen.localhost" }, "/shown")).text).toBe("ok");
      expect(await until((each) => each.includes("/shown"))).toMatch(/GET.*\/shown.*200|200.*GET.*\/shown/);
      agent.kill("SIGINT");
      expect(await agent.exited).toBe(0);
      terminal.close();
    },
    testLimitMs,
  );

  test(
    "--token-file, UNDERPASS_TOKEN_FILE and --token work; --token warns",
    async () => {
      const file = join(folder, "token");
      await writeFile(file, `${token}\n`);
      const base = ["http", String(origin.port), "--relay", relay.url, "--json", "--name"];
      const ways = [
        agentProgram([...base, "by-file", "--token-file", file]),
        agentProgram([...base, "by-variable"], { env: { UNDERPASS_TOKEN_FILE: file } }),
        agentProgram([...base, "by-switch", "--token", token]),
      ];
      for (const agent of ways) {
        await agent.event("ready");
        expect(await agent.stop()).toBe(0);
      }
      expect(ways[2]?.stderr).toContain("--token-file");
      expect(ways[2]?.stderr).not.toContain(token);
    },
    testLimitMs,
  );

  test(
    "its switches have variables",
    async () => {
      const variables = {
        UNDERPASS_PORT: String(origin.port),
        UNDERPASS_RELAY: relay.url,
        UNDERPASS_NAME: "varied",
        UNDERPASS_JSON: "1",
      };
      const agent = agentProgram([], { env: { ...variables, ...env() } });
      expect((await agent.event("ready"))["name"]).toBe("varied");
      await agent.stop();
    },
    testLimitMs,
  );

  test(
    "--no-reconnect: no relay there is exit 5, and so is a lost link",
    async () => {
      const port = await freePort();
      const never = agentProgram(["http", "1", "--relay", `http://127.0.0.1:${port}`, "--no-reconnect"], {
        env: env(),
      });
      expect(await never.exit()).toBe(5);
      const own = await startRelay();
      const lost = await startAgent(own, {
        origin: 1,
        name: "blue",
        token: await own.token(),
        args: ["--no-reconnect"],
      });
      await own.kill();
      expect(await lost.exit()).toBe(5);
    },
    testLimitMs,
  );

  test(
    "without it a failed first dial is shown and tried again until the relay is there",
    async () => {
      const port = await freePort();
      const data = join(folder, "late");
      const minted = relayProgram(["token", "--sub", "x", "--data", data]);
      expect(await minted.exit()).toBe(0);
      const agent = agentProgram(
        [
          "http",
          String(origin.port),
          "--relay",
          `http://127.0.0.1:${port}`,
          "--name",
          "late",
          "--json",
          "--max-reconnect-delay",
          "1s",
        ],
        {
          env: { UNDERPASS_TOKEN: minted.stdout.trim() },
        },
      );
      await agent.event("link", (event) => event["state"] === "lost");
      const late = await startRelay({ data, port });
      await agent.event("ready");
      await agent.stop();
      await late.stop();
    },
    testLimitMs,
  );

  test(
    "what answers is no relay: exit 1 with one line",
    async () => {
      origin.script = (exchange) => exchange.send("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
      const agent = agentProgram(
        ["http", "1", "--relay", `http://127.0.0.1:${origin.port}`, "--name", "blue"],
        { env: env() },
      );
      expect(await agent.exit()).toBe(1);
      expect(oneLine(agent.stderr)).toBe(true);
    },
    testLimitMs,
  );

  test(
    "a newer agent takes the name over at once; the older one exits 6",
    async () => {
      const older = await startAgent(relay, { origin: 1, name: "taken", token });
      const newer = await startAgent(relay, { origin: origin.port, name: "taken", token });
      expect(await older.exit()).toBe(6);
      expect(older.events.at(-1)).toMatchObject({ event: "error", code: "superseded", fatal: true });
      expect((await visit({ port: relay.port, host: relay.hostFor("taken") })).text).toBe("ok");
      await newer.stop();
    },
    testLimitMs,
  );

  test(
    "SIGINT lets an open exchange finish; a second one ends it at once",
    async () => {
      const open = Promise.withResolvers<void>();
      origin.script = async (exchange) => {
        await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg");
        open.resolve();
        await exchange.wire.over;
      };
      const agent = await startAgent(relay, { origin: origin.port, name: "stopping", token });
      using visitor = await Visitor.connect({ port: relay.port, host: relay.hostFor("stopping") });
      await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      const answer = await visitor.answer();
      await open.promise;
      // Two at once may count as one: the system keeps no count of them.
      const again = setInterval(() => agent.signal("SIGINT"), 50);
      await agent.exit();
      clearInterval(again);
      await answer.body.text();
      expect(answer.body.complete).toBe(false);
    },
    testLimitMs,
  );
});
