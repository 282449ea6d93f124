import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect } from "node:net";
import { denoPath } from "../../scripts/deno-path.ts";
import { startEcho } from "../blackbox/origins/echo.ts";
import { agentProgram } from "../blackbox/programs/agent.ts";
import { type DeployRelay, startDeployRelay } from "../blackbox/programs/deploy-relay.ts";
import { freePort } from "../blackbox/programs/free-port.ts";
import { Program } from "../blackbox/programs/program.ts";
import { projectRoot } from "../blackbox/programs/relay.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { Visitor, visit } from "../blackbox/raw/visitor.ts";

// The relay on `Deno.serve`, as Deno Deploy runs it: from environment variables alone.

const testLimitMs = 60_000;
/** Deploy's own: from SIGINT to SIGKILL. */
const killAfterMs = 5_000;
const secret = "a secret of this test, longer than thirty-two bytes";

let origin: RawOrigin;
let relay: DeployRelay;
let agent: Program;

beforeAll(async () => {
  origin = await RawOrigin.listen();
  relay = await startDeployRelay();
  agent = await startAgent(relay, { origin: origin.port, name: "blue", token: await relay.token() });
}, testLimitMs);
afterAll(async () => {
  await Promise.all([agent?.kill(), relay?.kill()]);
  await origin?.close();
});

const target = (name = "blue") => ({ port: relay.port, host: relay.hostFor(name) });

describe("the environment", () => {
  const run = (env: Record<string, string>) =>
    new Program([denoPath(), "run", "-A", `${projectRoot}/relay.ts`], {
      env: { DENO_DEPLOYMENT_ID: "here", DENO_SERVE_ADDRESS: "tcp:127.0.0.1:0", ...env },
    });

  test.each([
    ["no secret", { UNDERPASS_DOMAIN: "t.example" }, "UNDERPASS_SECRET"],
    ["no address", { UNDERPASS_SECRET: secret }, "UNDERPASS_PUBLIC_URL"],
    [
      "public ports",
      { UNDERPASS_SECRET: secret, UNDERPASS_DOMAIN: "t.example", UNDERPASS_TCP_PORTS: "20000-20999" },
      "--tcp-ports",
    ],
    [
      "a proxy to trust",
      { UNDERPASS_SECRET: secret, UNDERPASS_DOMAIN: "t.example", UNDERPASS_TRUST_PROXY: "127.0.0.1" },
      "--trust-proxy",
    ],
    [
      "an address among relays",
      {
        ...{ UNDERPASS_SECRET: secret, UNDERPASS_DOMAIN: "t.example" },
        ...{ UNDERPASS_CLUSTER: "nats://127.0.0.1", UNDERPASS_ADVERTISE: "https://a.example" },
      },
      "--advertise",
    ],
  ])("%s: exit 2, and a line that says which variable to set", async (_, env, variable) => {
    const program = run(env);
    expect(await program.exit()).toBe(2);
    expect(program.stderr).toContain(variable);
    expect(program.stderr.trim().split("\n").length).toBe(1);
  });

  test("the app's own address has tunnels at paths, by https", async () => {
    const program = run({
      UNDERPASS_SECRET: secret,
      UNDERPASS_PUBLIC_URL: "https://app.example",
      UNDERPASS_JSON: "1",
    });
    const url = String((await program.event("listening"))["url"]);
    const minted = new Program([process.execPath, `${projectRoot}/relay.ts`, "token", "--sub", "me"], {
      env: { UNDERPASS_SECRET: secret },
    });
    await minted.exit();
    const started = agentProgram(["http", "1", "--relay", url, "--name", "red", "--json"], {
      env: { UNDERPASS_TOKEN: minted.stdout.trim() },
    });
    expect((await started.event("ready"))["urls"]).toEqual(["https://app.example/~red"]);
    await Promise.all([started.kill(), program.kill()]);
  });
});

describe("a request", () => {
  test("has its path, its bytes and its visitor; what he says of himself is not believed", async () => {
    const before = origin.exchanges.length;
    origin.script = (exchange) =>
      exchange.send(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Byte: \xe9\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok",
      );
    const { status, head } = await visit(target(), "/a%2Fb/../c?d=%20", [
      "X-Byte: \xe9\xff",
      "CF-Connecting-IP: 6.6.6.6",
      "X-Forwarded-For: 7.7.7.7",
      "X-Forwarded-Proto: http",
    ]);
    expect([status, head.field("x-byte"), head.all("set-cookie")]).toEqual([200, "\xe9", ["a=1", "b=2"]]);
    const { head: seen } = await origin.arrived(before);
    expect(seen.target).toBe("/a%2Fb/../c?d=%20");
    expect(seen.field("x-byte")).toBe("\xe9\xff");
    expect([seen.field("x-forwarded-for"), seen.field("x-forwarded-proto")]).toEqual(["127.0.0.1", "https"]);
    origin.script = answerOk;
  });

  test("that names another host in its request line reaches nobody", async () => {
    const before = origin.exchanges.length;
    using visitor = await Visitor.connect(target());
    await visitor.send("GET http://other.example/ HTTP/1.1\r\nHost: HOST\r\n\r\n");
    expect((await visitor.answer()).status).toBe(400);
    expect(origin.exchanges.length).toBe(before);
  });

  test("is answered with what the origin sent, and not compressed on the way", async () => {
    const text = "compress me ".repeat(1_000);
    origin.script = (exchange) =>
      exchange.send(
        `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
      );
    const answer = await visit(target(), "/", ["Accept-Encoding: gzip, br"]);
    expect(answer.head.field("content-encoding")).toBeUndefined();
    expect(answer.text).toBe(text);
    origin.script = answerOk;
  });

  test("carries 16 MiB up and down", async () => {
    const sent = crypto.getRandomValues(new Uint8Array(65_536));
    const times = 256;
    const hash = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    const echo = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (asked) => new Response(asked.body) });
    const other = await startAgent(relay, {
      origin: Number(echo.port),
      name: "echo",
      token: await relay.token(),
    });
    const whole = new Uint8Array(sent.length * times);
    for (let at = 0; at < whole.length; at += sent.length) whole.set(sent, at);
    const answer = await fetch(`${relay.url}/~echo/`, { method: "POST", body: whole });
    expect(hash(await answer.bytes())).toBe(hash(whole));
    await other.kill();
    await echo.stop(true);
  });
});

test(
  "a visitor's WebSocket has all messages, the first of them sent before it was open",
  async () => {
    const echo = startEcho();
    const other = await startAgent(relay, { origin: echo.port, name: "echo", token: await relay.token() });
    const socket = new WebSocket(`${relay.url.replace("http", "ws")}/~echo/greets`, ["echo.2"]);
    const heard: unknown[] = [];
    const done = Promise.withResolvers<void>();
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      heard.push(typeof data === "string" ? data : new Uint8Array(data).length);
      if (heard.length === 3) done.resolve();
    };
    socket.onopen = () => {
      socket.send("ä");
      socket.send(new Uint8Array(300_000));
    };
    await done.promise;
    expect(heard).toEqual(["welcome", "ä", 300_000]);
    expect(socket.protocol).toBe("echo.2");
    const closed = once(socket, "close");
    socket.close(4_000, "enough");
    await closed;
    await other.kill();
    echo.close();
  },
  testLimitMs,
);

test.each(["ws", "sse"])(
  "a private tunnel is reached through it, by links of %s",
  async (transport) => {
    const to = ["--relay", relay.url, "--transport", transport, "--json"];
    const env = { UNDERPASS_TOKEN: await relay.token({ connect: ["box"] }) };
    const box = agentProgram(["private", String(origin.port), "--name", "box", ...to], { env });
    await box.event("ready");
    const port = await freePort();
    const caller = agentProgram(["connect", "box", "--listen", `127.0.0.1:${port}`, ...to], { env });
    await caller.event("ready");
    expect(await visit({ port, host: "box" })).toMatchObject({ status: 200, text: "ok" });
    await Promise.all([box.kill(), caller.kill()]);
  },
  testLimitMs,
);

describe("SIGINT, five seconds before the process is killed", () => {
  test(
    "is a drain: agents are told and come back to the next process, what can finish does, and the process ends by itself",
    async () => {
      const leaving = await startDeployRelay();
      const moving = await startAgent(leaving, {
        origin: origin.port,
        name: "blue",
        token: await leaving.token(),
      });
      const goOn = Promise.withResolvers<void>();
      origin.script = async (exchange) => {
        await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg");
        if (exchange.head.target === "/short") await goOn.promise;
        else await new Promise(() => {});
        await exchange.send("end");
      };
      const at = { port: leaving.port, host: leaving.hostFor("blue") };
      using short = await Visitor.connect(at);
      using endless = await Visitor.connect(at);
      await short.send("GET /short HTTP/1.1\r\nHost: HOST\r\n\r\n");
      await endless.send("GET /endless HTTP/1.1\r\nHost: HOST\r\n\r\n");
      const { body } = await short.answer();
      const { body: never } = await endless.answer();
      expect(await body.atLeast(3)).toBe("beg");
      const { mark } = moving;
      leaving.program.signal("SIGINT");
      const kill = setTimeout(() => leaving.program.signal("SIGKILL"), killAfterMs);
      await moving.event("error", ({ code }) => code === "going-away", mark);
      goOn.resolve();
      expect([await body.text(), body.complete]).toEqual(["end", true]);
      expect(await leaving.program.exit()).toBe(0);
      clearTimeout(kill);
      await never.text();
      expect(never.complete).toBe(false);
      origin.script = answerOk;
      const next = await startDeployRelay({ data: leaving.data, port: leaving.port });
      await moving.event("ready", () => true, mark);
      expect(await visit(at)).toMatchObject({ status: 200, text: "ok" });
      await Promise.all([moving.kill(), next.kill()]);
      await leaving.kill();
    },
    testLimitMs,
  );

  test(
    "ends at once where nobody is under way, whoever has a socket open",
    async () => {
      const leaving = await startDeployRelay({ args: ["--grace", "60s"] });
      const idle = connect(leaving.port, "127.0.0.1");
      await once(idle, "connect");
      leaving.program.signal("SIGINT");
      const kill = setTimeout(() => leaving.program.signal("SIGKILL"), killAfterMs);
      expect(await leaving.program.exit()).toBe(0);
      clearTimeout(kill);
      idle.destroy();
      await leaving.kill();
    },
    testLimitMs,
  );
});
