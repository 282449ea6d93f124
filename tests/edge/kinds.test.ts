import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { agentProgram } from "../blackbox/programs/agent.ts";
import { installed } from "../blackbox/programs/installed.ts";
import { Program } from "../blackbox/programs/program.ts";
import type { Relay } from "../blackbox/programs/relay.ts";
import { answerOk, RawOrigin } from "../blackbox/raw/origin.ts";
import { Visitor } from "../blackbox/raw/visitor.ts";
import { Wire } from "../blackbox/raw/wire.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { ByteEcho, sayAll } from "./byte-echo.ts";
import { startWorkerdRelay } from "./workerd-relay.ts";

const testLimitMs = 60_000;
const mebibyte = 1_048_576;

describe("the relay on workerd", () => {
  let relay: Relay;
  let echo: ByteEcho;
  const programs: Program[] = [];

  beforeAll(async () => {
    [relay, echo] = await Promise.all([startWorkerdRelay({}), ByteEcho.listen()]);
  }, testLimitMs);
  afterAll(async () => {
    for (const program of programs) await program.kill();
    await relay?.stop();
    echo?.close();
  });

  async function start(args: readonly string[], token: string, url = relay.url): Promise<Program> {
    const program = agentProgram([...args, "--relay", url, "--json"], { env: { UNDERPASS_TOKEN: token } });
    programs.push(program);
    return program;
  }

  const portOf = async (program: Program): Promise<number> =>
    Number(new URL(String((await program.event("ready"))["url"])).port);

  test("gives names for what it offers only", async () => {
    const claim = async (kind: string) => {
      using visitor = await Visitor.connect({ port: relay.port, host: `127.0.0.1:${relay.port}` });
      const body = JSON.stringify({ kind, name: `of-${kind}` });
      await visitor.send(
        `POST /_underpass/names HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer ${await relay.token()}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      const answer = await visitor.answer();
      return [answer.status, answer.head.field("underpass-error")];
    };
    for (const kind of ["http", "private"]) expect(await claim(kind)).toEqual([201, undefined]);
    for (const kind of ["tcp", "tls", "udp"]) expect(await claim(kind)).toEqual([501, "kind-unavailable"]);
  });

  test.each([
    ["tcp", ["tcp", "5432", "--name", "never"]],
    ["tls", ["tls", "443", "--name", "never"]],
    ["udp", ["udp", "53", "--name", "never"]],
  ])("refuses an agent that wants %s for good", async (_, args) => {
    const agent = await start(args, await relay.token());
    expect(await agent.exit()).toBe(4);
    expect(agent.events).toContainEqual(
      expect.objectContaining({ event: "error", code: "kind-unavailable" }),
    );
  });

  test(
    "joins those who connect to a private tunnel with its agent, half-closes and all",
    async () => {
      const vault = await start(["private", String(echo.port), "--name", "vault"], await relay.token());
      expect(await vault.event("ready")).toMatchObject({ kind: "private", url: "private:vault" });
      const token = await relay.token({ sub: "bob", connect: ["vault"] });
      const caller = await start(["connect", "vault", "--listen", "127.0.0.1:0"], token);
      const port = await portOf(caller);
      for (const size of [0, 1, 70_000, 8 * mebibyte]) {
        const content = randomBytes(size);
        expect((await sayAll(port, content)).equals(content)).toBe(true);
      }
      const content = randomBytes(100_000);
      const all = await Promise.all(Array.from({ length: 50 }, () => sayAll(port, content)));
      for (const one of all) expect(one.equals(content)).toBe(true);
      expect(await vault.event("stream", ({ bytesIn }) => bytesIn === 8 * mebibyte)).toMatchObject({
        ...{ kind: "private", bytesOut: 8 * mebibyte, end: "closed" },
      });
      // It is nobody's page.
      using visitor = await Visitor.connect({ port: relay.port, host: relay.hostFor("vault") });
      await visitor.send("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n");
      expect((await visitor.answer()).head.field("underpass-error")).toBe("unknown-tunnel");
    },
    testLimitMs,
  );

  test("lets nobody connect whose token does not list the tunnel", async () => {
    const token = await relay.token({ sub: "eve", connect: ["other"] });
    const caller = await start(["connect", "vault", "--listen", "127.0.0.1:0"], token);
    expect(await caller.exit()).toBe(4);
    expect(caller.events).toContainEqual(expect.objectContaining({ code: "connect-denied" }));
  });

  test(
    "keeps a stream whose links are cut on either side",
    async () => {
      await using nearVault = await FaultProxy.listen(relay.port);
      await using nearCaller = await FaultProxy.listen(relay.port);
      const vault = await start(
        ["private", String(echo.port), "--name", "cut"],
        await relay.token(),
        nearVault.url,
      );
      await vault.event("ready");
      const token = await relay.token({ sub: "bob", connect: ["cut"] });
      const caller = await start(["connect", "cut", "--listen", "127.0.0.1:0"], token, nearCaller.url);
      const wire = await Wire.connect(await portOf(caller));
      for (const [word, proxy] of [
        ["before", undefined],
        ["the caller's links are cut", nearCaller],
        ["the vault's links are cut", nearVault],
      ] as const) {
        proxy?.fault("reset");
        await wire.send(word);
        let heard = "";
        while (heard.length < word.length) heard += Buffer.from((await wire.some()) ?? []).toString();
        expect(heard).toBe(word);
      }
      wire.close();
      expect([nearVault.pipes.length > 2, nearCaller.pipes.length > 2]).toEqual([true, true]);
    },
    testLimitMs,
  );

  test.skipIf(!installed("curl"))(
    "lets a proxy out at an agent that allows it, and nowhere else",
    async () => {
      const origin = await RawOrigin.listen(answerOk);
      const other = await RawOrigin.listen(answerOk);
      const pattern = `127.0.0.1:${origin.port}`;
      const gate = await start(
        ["private", "1", "--name", "gate", "--allow-egress", pattern],
        await relay.token(),
      );
      await gate.event("ready");
      const token = await relay.token({ sub: "bob", egress: [pattern, `127.0.0.1:${other.port}`] });
      const port = await portOf(await start(["proxy", "--via", "gate", "--listen", "127.0.0.1:0"], token));
      const curl = async (proxy: string, to: number) => {
        const args = ["-sS", "-m", "20", "--noproxy", "", "-x", `${proxy}://127.0.0.1:${port}`];
        const program = new Program([installed("curl") ?? "", ...args, `http://127.0.0.1:${to}/`]);
        return [await program.exit(), program.stdout];
      };
      for (const proxy of ["socks5h", "http"]) expect(await curl(proxy, origin.port)).toEqual([0, "ok"]);
      // The token grants it, the agent does not: curl's code of a refusal by SOCKS.
      expect(await curl("socks5h", other.port)).toEqual([97, ""]);
      expect(other.exchanges).toEqual([]);
      // The agent grants it, the token does not.
      const narrow = await relay.token({ sub: "eve", egress: ["example.com:443"] });
      const deniedPort = await portOf(
        await start(["proxy", "--via", "gate", "--listen", "127.0.0.1:0"], narrow),
      );
      const denied = new Program([
        ...[installed("curl") ?? "", "-sS", "-m", "20", "-x", `socks5h://127.0.0.1:${deniedPort}`],
        ...["--noproxy", "", `http://127.0.0.1:${origin.port}/`],
      ]);
      expect(await denied.exit()).toBe(97);
      expect(origin.exchanges.length).toBe(2);
      await Promise.all([origin.close(), other.close()]);
    },
    testLimitMs,
  );
});
