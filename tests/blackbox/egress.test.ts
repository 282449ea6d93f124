import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import dgram from "node:dgram";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { parseTarget } from "../../shared/egress/target.ts";
import { type RefusedTarget, refusedTargets } from "../shared/egress-targets.ts";
import { agentProgram } from "./programs/agent.ts";
import { testExcept } from "./programs/except.ts";
import { freePort } from "./programs/free-port.ts";
import { installed } from "./programs/installed.ts";
import { Program } from "./programs/program.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";
import { Opener } from "./raw/opener.ts";
import { askHttp, askSocks, askSocksAddress } from "./raw/proxy-visitor.ts";

const testLimitMs = 60_000;
const curl = installed("curl");
const everything = ["*:*", "0.0.0.0/0:*", "[::]/0:*"];

/** What listens on this machine, on all its addresses: `visits` counts those who got there. */
class Canary {
  visits = 0;
  private constructor(
    readonly port: number,
    private readonly listener: net.Server,
  ) {}

  /** Answers everybody with `answer` and ends. */
  static async listen(answer: string): Promise<Canary> {
    const listener = net.createServer((socket) => {
      canary.visits++;
      socket.on("error", () => {});
      socket.once("data", () => socket.end(answer));
    });
    await new Promise<void>((resolve) => listener.listen(0, resolve));
    const canary = new Canary((listener.address() as AddressInfo).port, listener);
    return canary;
  }

  close(): void {
    this.listener.close();
  }
}

const answerOf = (body: string, more = ""): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n${more}\r\n${body}`;

/** The platform does not tell a refusal from the rest, and has no datagrams. */
const isWorkers = relayRuntime === "workerd";
const refusal = isWorkers ? "origin-unreachable" : "origin-refused";

describe("egress", () => {
  let relay: Relay;
  let canary: Canary;
  let web: Canary;
  /** What of the table can be asked for here, at the port at which the canary waits. */
  let targets: readonly RefusedTarget[] = [];
  const programs: Program[] = [];
  const openers: Opener[] = [];

  beforeAll(async () => {
    canary = await Canary.listen(answerOf("private"));
    web = await Canary.listen(answerOf("granted"));
    relay = await startRelay({ net: ["no-such-name.invalid"] });
    // Names that only a test's own resolver knows are in egress-names.test.ts.
    targets = refusedTargets
      .filter(
        ({ target, answers }) => answers === undefined || /local(host)?\.?:/i.test(target.normalize("NFKC")),
      )
      .filter(({ target }) => target !== "printer.local:631")
      // The newest workerd takes for a name what can't be one, and then there is none.
      .filter(({ target }) => !isWorkers || target !== "xn--a:80")
      .map((one) => ({ ...one, target: one.target.replace(/:80$/, `:${canary.port}`) }));
  }, testLimitMs);

  afterAll(async () => {
    for (const opener of openers) await opener.close();
    for (const program of programs) await program.kill();
    await relay?.kill();
    canary?.close();
    web?.close();
  });

  async function opener(egress: readonly string[], via?: string): Promise<Opener> {
    const token = await relay.token({ egress });
    const made = await Opener.connect(relay, token, via === undefined ? {} : { via });
    openers.push(made);
    return made;
  }

  /** `agent proxy` with a token that grants `egress`; its port. */
  async function proxy(egress: readonly string[], ...args: readonly string[]): Promise<number> {
    const program = agentProgram(
      ["proxy", "--listen", "127.0.0.1:0", "--relay", relay.url, "--json", ...args],
      {
        env: { UNDERPASS_TOKEN: await relay.token({ egress }) },
      },
    );
    programs.push(program);
    const ready = await program.event("ready");
    return Number(new URL(String(ready["url"])).port);
  }

  /** An agent of `blue` whose own origin is the web. */
  async function blue(name: string, ...args: readonly string[]): Promise<void> {
    const program = agentProgram(
      ["http", String(web.port), "--relay", relay.url, "--name", name, "--json", ...args],
      {
        env: { UNDERPASS_TOKEN: await relay.token() },
      },
    );
    programs.push(program);
    await program.event("ready");
  }

  test(
    "every target of the table is refused by the relay, whatever is asked for, tcp and udp",
    async () => {
      const asks = await opener(everything);
      expect(targets.length).toBeGreaterThan(200);
      for (const { target, why } of targets) {
        expect([why, target, await asks.tcp(target)]).toEqual([why, target, "egress-denied"]);
        const { outcome } = await asks.udp(target);
        const isDenied = outcome === "egress-denied" || (isWorkers && outcome === "kind-unknown");
        expect([why, target, outcome, isDenied]).toEqual([why, target, outcome, true]);
      }
      expect(canary.visits).toBe(0);
    },
    testLimitMs,
  );

  test(
    "every target of the table is refused at the proxy's port, by SOCKS5 and by HTTP",
    async () => {
      const port = await proxy(everything);
      for (const { target, why } of targets) {
        const [, host = "", digits = ""] = /^(.*):(\d{1,5})$/s.exec(target) ?? [];
        // What is not ASCII does not come through the front as it is.
        const isWhole = parseTarget(target) !== undefined && /^[ -~]*$/.test(target);
        const told = [why, target];
        if (digits !== "" && Number(digits) < 65_536 && Buffer.byteLength(host) < 256) {
          const { socks } = await askSocks(port, host, Number(digits));
          expect([...told, socks]).not.toEqual([...told, 0]);
          // Not allowed by the ruleset (RFC 1928 section 6); a host that is none may be told apart.
          if (isWhole) expect([...told, socks]).toEqual([...told, 2]);
        }
        // The front may read it otherwise (port 080, a path): then it is a host that is not there.
        const refusals = isWhole ? [403] : [400, 403, 502];
        for (const line of [`CONNECT ${target}`, `GET http://${target}/`]) {
          const { status = 0 } = await askHttp(port, `${line} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
          expect([...told, line, status, refusals.includes(status)]).toEqual([...told, line, status, true]);
        }
      }
      expect(canary.visits).toBe(0);
    },
    testLimitMs,
  );

  test(
    "addresses as bytes of SOCKS5 are refused too",
    async () => {
      const port = await proxy(everything);
      const zeros = new Array<number>(10).fill(0);
      for (const address of [
        [127, 0, 0, 1],
        [0, 0, 0, 0],
        [10, 0, 0, 1],
        [169, 254, 169, 254],
        [...zeros, 0, 0, 0, 0, 0, 1],
        [...zeros, 0, 0, 0, 0, 0, 0],
        [...zeros, 0xff, 0xff, 127, 0, 0, 1],
        [...zeros, 0, 0, 127, 0, 0, 1],
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1],
        [0xfe, 0x80, ...zeros, 0, 0, 0, 1],
      ])
        expect([address, await askSocksAddress(port, address, canary.port)]).toEqual([address, { socks: 2 }]);
      expect(canary.visits).toBe(0);
    },
    testLimitMs,
  );

  test(
    "what is granted passes, at its port only, and what fails there is told as that",
    async () => {
      const closed = await freePort();
      const patterns = [`localhost:${web.port},${closed}`, `127.0.0.1:${web.port}`, `[::1]:${web.port}`];
      const asks = await opener(patterns);
      for (const host of [
        "localhost",
        "LOCALHOST.",
        "127.0.0.1",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "[0:0::1]",
      ])
        expect([host, await asks.tcp(`${host}:${web.port}`)]).toEqual([host, "opened"]);
      expect(await asks.tcp(`localhost:${closed}`)).toBe(refusal);
      expect(await asks.tcp(`127.0.0.1:${closed}`)).toBe("egress-denied");
      expect(await asks.tcp(`localhost:${canary.port}`)).toBe("egress-denied");
      expect(await asks.tcp(`127.0.0.2:${web.port}`)).toBe("egress-denied");
      expect(await (await opener(["*.invalid:80"])).tcp("no-such-name.invalid:80")).toBe("origin-not-found");
      const port = await proxy(patterns);
      expect(await askSocks(port, "localhost", web.port)).toEqual({ socks: 0 });
      expect(await askSocks(port, "localhost", closed)).toEqual({ socks: isWorkers ? 4 : 5 });
      expect(await askSocks(port, "localhost", canary.port)).toEqual({ socks: 2 });
      const get = (host: string) => askHttp(port, `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      expect(await get(`127.0.0.1:${web.port}`)).toEqual({ status: 200 });
      expect(await get(`localhost:${closed}`)).toEqual({ status: 502, code: refusal });
      expect(await get(`localhost:${canary.port}`)).toEqual({ status: 403, code: "egress-denied" });
      expect(canary.visits).toBe(0);
    },
    testLimitMs,
  );

  testExcept(
    { workerd: "the platform has no datagrams" },
    "datagrams pass where they are granted",
    async () => {
      const echo = dgram.createSocket("udp4", (bytes, { port, address }) => echo.send(bytes, port, address));
      echo.bind(0, "127.0.0.1");
      await once(echo, "listening");
      const { port } = echo.address();
      expect(await (await opener([`127.0.0.1:${port}`])).udp(`127.0.0.1:${port}`, "hello")).toEqual({
        outcome: "opened",
        answer: "hello",
      });
      echo.close();
    },
    testLimitMs,
  );

  test(
    "a token without egress opens no port: the agent exits 4 and says egress-denied",
    async () => {
      const port = await freePort();
      const args = ["proxy", "--listen", `127.0.0.1:${port}`, "--relay", relay.url, "--json"];
      const program = agentProgram(args, { env: { UNDERPASS_TOKEN: await relay.token() } });
      programs.push(program);
      expect(await program.event("error")).toMatchObject({ code: "egress-denied", fatal: true });
      expect(await program.exit()).toBe(4);
      expect(program.events.some(({ event }) => event === "ready")).toBe(false);
      const socket = net.connect({ host: "127.0.0.1", port });
      const [error] = await once(socket, "error");
      expect((error as NodeJS.ErrnoException).code).toBe("ECONNREFUSED");
    },
    testLimitMs,
  );

  test.skipIf(curl === undefined)(
    "a redirect to a private target is refused, however the proxy is spoken to",
    async () => {
      const hidden = `http://127.0.0.1:${canary.port}/`;
      const away = await Canary.listen(
        `HTTP/1.1 302 Found\r\nLocation: ${hidden}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
      );
      const port = await proxy([`localhost:${away.port}`, ...everything]);
      for (const way of [
        ["--socks5-hostname", `127.0.0.1:${port}`],
        ["--proxy", `http://127.0.0.1:${port}`],
        ["--proxytunnel", "--proxy", `http://127.0.0.1:${port}`],
      ]) {
        const program = new Program(
          [
            ...[curl ?? "", "-q", "--silent", "--show-error", "--location", "--noproxy", "", "--fail"],
            ...["--write-out", "%{num_redirects} %{http_code}", ...way, `http://localhost:${away.port}/`],
          ],
          { env: { no_proxy: "" } },
        );
        expect([way, await program.exit()]).not.toEqual([way, 0]);
        expect(program.stdout).not.toContain("private");
        expect(program.stdout).toStartWith("1 ");
      }
      expect(away.visits).toBe(3);
      expect(canary.visits).toBe(0);
      away.close();
    },
    testLimitMs,
  );

  describe("by way of an agent", () => {
    test(
      "needs both grants, the token's and the agent's",
      async () => {
        const granted = [`127.0.0.1:${web.port}`, `localhost:${web.port}`];
        await blue("both", ...granted.flatMap((pattern) => ["--allow-egress", pattern]));
        await blue("other", "--allow-egress", `127.0.0.1:${canary.port}`);
        await blue("closed");
        const [wide, narrow] = [await opener(granted, "both"), await opener(["*:443"], "both")];
        for (const target of granted) {
          expect([target, await wide.tcp(target)]).toEqual([target, "opened"]);
          expect([target, await narrow.tcp(target)]).toEqual([target, "egress-denied"]);
        }
        const notByAgent = await opener(granted, "other");
        expect(await notByAgent.tcp(`127.0.0.1:${web.port}`)).toBe("egress-denied");
        expect(await notByAgent.tcp(`127.0.0.1:${canary.port}`)).toBe("egress-denied");
        // An agent that was not asked to is no way into its network, whatever the token says.
        const visits = web.visits;
        await expect(opener([...granted, ...everything], "closed")).rejects.toMatchObject({
          code: "egress-denied",
        });
        expect(web.visits).toBe(visits);
        expect(canary.visits).toBe(0);
      },
      testLimitMs,
    );

    test(
      "every target of the table is refused, by the relay where the token is narrow and by the agent where it is",
      async () => {
        await blue("wide", ...everything.flatMap((pattern) => ["--allow-egress", pattern]));
        const asks = await opener(everything, "wide");
        // At the relay names pass as names, so these come to the agent.
        const byAgent = await opener(
          [...everything, "localhost:*", "foo.localhost:*", "127.0.0.0/8:*", "[::1]:*"],
          "wide",
        );
        for (const { target, why } of targets) {
          expect([why, target, await asks.tcp(target)]).toEqual([why, target, "egress-denied"]);
          expect([why, target, await byAgent.tcp(target)]).toEqual([why, target, "egress-denied"]);
        }
        expect(canary.visits).toBe(0);
      },
      testLimitMs,
    );

    test(
      "passes at the proxy's port, and tells what is refused",
      async () => {
        await blue("proxied", "--allow-egress", `localhost:${web.port}`);
        // A pattern of the token's opens public addresses, also behind names that only the agent can resolve.
        const wide = await proxy(["*:*"], "--via", "proxied");
        expect(await askSocks(wide, "localhost", web.port)).toEqual({ socks: 2 });
        const port = await proxy([`localhost:*`, `127.0.0.1:${web.port}`], "--via", "proxied");
        expect(await askSocks(port, "localhost", web.port)).toEqual({ socks: 0 });
        expect(await askSocks(port, "localhost", canary.port)).toEqual({ socks: 2 });
        expect(await askSocks(port, "127.0.0.1", web.port)).toEqual({ socks: 2 });
        const head = `GET http://localhost:${web.port}/ HTTP/1.1\r\nHost: localhost\r\n\r\n`;
        expect(await askHttp(port, head)).toEqual({ status: 200 });
      },
      testLimitMs,
    );
  });
});
