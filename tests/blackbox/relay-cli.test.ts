import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testExcept } from "./programs/except.ts";
import { type Relay, relayProgram, startRelay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { answerOk, RawOrigin } from "./raw/origin.ts";
import { Visitor, visit } from "./raw/visitor.ts";

const noProgram = { workerd: "the relay is no program there" };
const testLimitMs = 60_000;

let folder: string;
let relay: Relay;
let origin: RawOrigin;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "underpass-relay-cli-"));
  origin = await RawOrigin.listen();
  relay = await startRelay();
}, testLimitMs);
afterAll(async () => {
  await relay?.kill();
  await origin?.close();
  await rm(folder, { recursive: true, force: true });
});

const oneLine = (text: string) => text.trim().split("\n").length === 1;

describe("relay", () => {
  test(
    "its first line of JSON is listening with the bound address; SIGTERM and SIGINT end it with 0",
    async () => {
      for (const signal of ["SIGTERM", "SIGINT"] as const) {
        const program = relayProgram([
          "serve",
          "--json",
          "--listen",
          "127.0.0.1:0",
          "--data",
          join(folder, "one"),
        ]);
        const listening = await program.event("listening");
        expect(program.events[0]).toBe(listening);
        expect(listening["url"]).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
        program.signal(signal);
        expect(await program.exit()).toBe(0);
        for (const line of program.stdout.trim().split("\n")) expect(() => JSON.parse(line)).not.toThrow();
      }
    },
    testLimitMs,
  );

  testExcept(
    noProgram,
    "its data folder is private, ignored by git, and keeps the key over a restart",
    async () => {
      const data = join(folder, "kept");
      const first = await startRelay({ data });
      const made = await first.token();
      await first.stop();
      expect((await stat(data)).mode & 0o777).toBe(0o700);
      expect((await readFile(join(data, ".gitignore"), "utf8")).trim()).toBe("*");
      for (const file of await readdir(data)) {
        if (file !== ".gitignore") expect((await stat(join(data, file))).mode & 0o077).toBe(0);
      }
      const second = await startRelay({ data });
      const agent = await startAgent(second, { origin: origin.port, name: "kept", token: made });
      await agent.stop();
      await second.stop();
    },
    testLimitMs,
  );

  test(
    "a port in use: exit 1 with one line",
    async () => {
      const holder = createServer();
      await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
      const { port } = holder.address() as { port: number };
      const program = relayProgram(["--listen", `127.0.0.1:${port}`, "--data", join(folder, "two")]);
      expect(await program.exit()).toBe(1);
      expect(oneLine(program.stderr)).toBe(true);
      holder.close();
    },
    testLimitMs,
  );

  test(
    "a data folder that can't be made: exit 1 with one line",
    async () => {
      await writeFile(join(folder, "a-file"), "");
      const program = relayProgram(["--listen", "127.0.0.1:0", "--data", join(folder, "a-file", "data")]);
      expect(await program.exit()).toBe(1);
      expect(oneLine(program.stderr)).toBe(true);
    },
    testLimitMs,
  );

  test(
    "token prints one JWT and nothing else on stdout, and names the key on stderr",
    async () => {
      const program = relayProgram([
        "token",
        "--sub",
        "alice",
        "--name",
        "pr-*",
        "--kind",
        "http",
        "--ttl",
        "1h",
        "--data",
        relay.data,
      ]);
      expect(await program.exit()).toBe(0);
      expect(program.stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
      expect(program.stderr).not.toBe("");
      const claims = JSON.parse(Buffer.from(program.stdout.split(".")[1] ?? "", "base64url").toString());
      expect(claims).toMatchObject({
        iss: "underpass",
        aud: "underpass",
        sub: "alice",
        names: ["pr-*"],
        kinds: ["http"],
      });
      expect(claims.exp - claims.iat).toBe(3600);
    },
    testLimitMs,
  );

  test(
    "health exits with 0 where a relay answers, else with 1 and one line",
    async () => {
      const own = relayProgram(["--json", "--listen", "127.0.0.1:0", "--data", join(folder, "health")]);
      const { host } = new URL(String((await own.event("listening"))["url"]));
      const ask = async () => {
        const health = relayProgram(["health"], { env: { UNDERPASS_LISTEN: host } });
        return { code: await health.exit(), stdout: health.stdout, stderr: health.stderr };
      };
      expect(await ask()).toEqual({ code: 0, stdout: "", stderr: "" });
      await own.stop();
      const { code, stderr } = await ask();
      expect([code, oneLine(stderr), stderr.includes(host)]).toEqual([1, true, true]);
    },
    testLimitMs,
  );

  test(
    "its switches have variables",
    async () => {
      const data = join(folder, "by-variable");
      const program = relayProgram([], {
        env: {
          UNDERPASS_JSON: "1",
          UNDERPASS_LISTEN: "127.0.0.1:0",
          UNDERPASS_DATA: data,
          UNDERPASS_DOMAIN: "a.test,b.test",
        },
      });
      const { port } = new URL(String((await program.event("listening"))["url"]));
      for (const host of ["x.a.test", "x.b.test"])
        expect((await visit({ port: Number(port), host })).status).toBe(404);
      expect((await visit({ port: Number(port), host: "x.localhost" })).status).toBe(421);
      expect(await program.stop()).toBe(0);
    },
    testLimitMs,
  );

  testExcept(
    noProgram,
    "on SIGTERM what is under way is finished and new connections are not taken",
    async () => {
      const own = await startRelay();
      const agent = await startAgent(own, { origin: origin.port, name: "blue", token: await own.token() });
      const open = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      origin.script = async (exchange) => {
        await exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg");
        open.resolve();
        await goOn.promise;
        await exchange.send("end");
      };
      using visitor = await Visitor.connect({ port: own.port, host: own.hostFor("blue") });
      await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      const answer = await visitor.answer();
      await open.promise;
      expect(await answer.body.atLeast(3)).toBe("beg");
      own.program?.signal("SIGTERM");
      goOn.resolve();
      expect(await answer.body.text()).toBe("end");
      expect(answer.body.complete).toBe(true);
      // As visitors do whose answer was the last: the relay waits some seconds for those that don't.
      visitor.close();
      expect(await own.program?.exit()).toBe(0);
      await agent.kill();
      origin.script = answerOk;
    },
    testLimitMs,
  );
});
