import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentCommand, agentProgram } from "./programs/agent.ts";
import { testExcept } from "./programs/except.ts";
import { freePort, freePorts } from "./programs/free-port.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";
import { Wire } from "./raw/wire.ts";

const testLimitMs = 60_000;
const noSockets = { workerd: "it has no sockets of its own" };

let folder: string;
let relay: Relay;
let token: string;
let tokenFile: string;
let origin: Server;
let originPort: number;
/** What the origin does with a visitor. */
let serve: (socket: Socket) => void;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "underpass-commands-"));
  origin = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
  originPort = (origin.address() as AddressInfo).port;
  const low = await freePorts(5);
  const range = `${low}-${low + 4}`;
  const args = ["--tcp-ports", range, "--udp-ports", range, "--tls-listen", "127.0.0.1:0"];
  relay = await startRelay(relayRuntime === "workerd" ? {} : { args });
  token = await relay.token({ connect: ["box"], egress: [`127.0.0.1:${originPort}`] });
  tokenFile = join(folder, "token");
  await writeFile(tokenFile, token);
}, testLimitMs);
afterAll(async () => {
  await relay?.kill();
  origin?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Answers what came, in capitals, once all of it is there. */
function shout(socket: Socket): void {
  let text = "";
  socket.on("data", (bytes) => void (text += bytes.toString("latin1")));
  socket.on("end", () => socket.end(text.toUpperCase()));
}

const to = () => ["--relay", relay.url, "--token-file", tokenFile];

async function ready(args: readonly string[]): Promise<Program> {
  const agent = agentProgram([...args, "--json"]);
  await agent.event("ready").catch(async (error: unknown) => {
    await agent.kill();
    throw error;
  });
  return agent;
}

/** Says `text`, half-closes, and reads all that comes. */
async function exchange(port: number, text: string): Promise<string> {
  const wire = await Wire.connect(port);
  await wire.send(text);
  wire.socket.end();
  let answer = "";
  wire.socket.on("data", (bytes: Buffer) => void (answer += bytes.toString("latin1")));
  expect(await wire.over).toBe("fin");
  wire.socket.destroy();
  return answer;
}

const portOf = (event: { readonly [member: string]: unknown }): number =>
  Number(String(event["url"]).split(":").at(-1));

describe("without a terminal and without --json stdout is one URL line, and the log is on stderr", () => {
  const cases: readonly (readonly [what: string, args: () => string[], url: RegExp])[] = [
    ["private", () => ["private", String(originPort), "--name", "lined", ...to()], /^private:lined\n$/],
    ["connect", () => ["connect", "box", "--listen", "0", ...to()], /^tcp:\/\/127\.0\.0\.1:\d+\n$/],
    ["forward", () => ["forward", "--listen", "0", "--to", "1"], /^tcp:\/\/127\.0\.0\.1:\d+\n$/],
  ];
  const ported: readonly (readonly [what: string, args: () => string[], url: RegExp])[] = [
    ["tcp", () => ["tcp", "1", "--name", "by-tcp", ...to()], /^tcp:\/\/localhost:\d+\n$/],
    ["udp", () => ["udp", "1", "--name", "by-udp", ...to()], /^udp:\/\/localhost:\d+\n$/],
    ["tls", () => ["tls", "1", "--name", "by-tls", ...to()], /^tls:\/\/by-tls\.localhost:\d+\n$/],
    ["proxy", () => ["proxy", "--listen", "[::1]:0", ...to()], /^socks5:\/\/\[::1\]:\d+\n$/],
  ];
  const run = async (args: readonly string[], url: RegExp): Promise<void> => {
    const agent = agentProgram(args);
    await agent.output((stdout, stderr) => stdout.includes("\n") && stderr.includes("ready: "));
    expect(await agent.stop()).toBe(0);
    expect(agent.stdout).toMatch(url);
  };
  for (const [what, args, url] of cases) test(what, () => run(args(), url), testLimitMs);
  for (const [what, args, url] of ported) testExcept(noSockets, what, () => run(args(), url), testLimitMs);
});

describe("forward", () => {
  test(
    "is ready with its address, tells the bytes of each stream, and a dead target by its code",
    async () => {
      serve = shout;
      const agent = await ready(["forward", "--listen", "0", "--to", `127.0.0.1:${originPort}`]);
      const [event] = agent.events;
      expect(event).toMatchObject({ event: "ready", kind: "forward", to: `tcp://127.0.0.1:${originPort}` });
      expect(await exchange(portOf(event ?? {}), "hello")).toBe("HELLO");
      expect(await agent.event("stream")).toEqual({
        ...{ event: "stream", kind: "forward", bytesIn: 5, bytesOut: 5, end: "closed" },
      });
      expect(await agent.stop()).toBe(0);
      const dead = await ready(["forward", "--listen", "0", "--to", String(await freePort())]);
      // The reset may be here before the system has said that the connection is.
      const visitor = await Wire.connect(portOf(dead.events[0] ?? {})).catch(() => undefined);
      expect(await (visitor?.over ?? "reset")).toBe("reset");
      expect(await dead.event("stream")).toMatchObject({ end: "reset", code: "origin-refused" });
      await dead.stop();
    },
    testLimitMs,
  );

  test(
    "a port in use is exit 1 with one line, and with --json an event as well",
    async () => {
      const agent = agentProgram(["forward", "--listen", String(originPort), "--to", "1", "--json"]);
      expect(await agent.exit()).toBe(1);
      expect(agent.events).toMatchObject([{ event: "error", code: "port-in-use", fatal: true }]);
      expect(agent.stderr.trim().split("\n")).toHaveLength(1);
    },
    testLimitMs,
  );
});

describe("connect and proxy listen only where the token allows it", () => {
  const refused: readonly (readonly [what: string, args: () => string[], code: string])[] = [
    ["connect", () => ["connect", "box", "--listen"], "connect-denied"],
    ["proxy", () => ["proxy", "--listen"], "egress-denied"],
    ["proxy --via", () => ["proxy", "--via", "box", "--listen"], "egress-denied"],
  ];
  for (const [what, args, code] of refused) {
    testExcept(
      what === "proxy" ? noSockets : {},
      `${what}: else \`error\` ${code}, exit 4, and the port was never open`,
      async () => {
        const port = await freePort();
        const env = { UNDERPASS_TOKEN: await relay.token() };
        const command = [...args(), String(port), "--relay", relay.url, "--json"];
        const agent = agentProgram(command, { env });
        expect(await agent.exit()).toBe(4);
        expect(agent.events.at(-1)).toMatchObject({ event: "error", code, fatal: true });
        expect(agent.events.some(({ event }) => event === "ready")).toBe(false);
      },
      testLimitMs,
    );
  }

  test(
    "--no-reconnect without a relay is exit 5",
    async () => {
      const url = `http://127.0.0.1:${await freePort()}`;
      for (const args of [
        ["connect", "box", "--stdio"],
        ["proxy", "--listen", "0"],
      ]) {
        const agent = agentProgram([...args, "--relay", url, "--no-reconnect"]);
        expect(await agent.exit()).toBe(5);
      }
    },
    testLimitMs,
  );
});

describe("connect --stdio", () => {
  const start = (args: readonly string[] = []) =>
    Bun.spawn(agentCommand(["connect", "box", "--stdio", ...to(), ...args]), {
      ...{ stdin: "pipe", stdout: "pipe", stderr: "pipe", env: { ...process.env } },
    });

  test(
    "stdout has the far end's bytes and nothing else, the end of stdin is a half-close, and all ends with 0",
    async () => {
      serve = shout;
      const box = await ready(["private", String(originPort), "--name", "box", ...to()]);
      const plain = start();
      plain.stdin.write("hello");
      plain.stdin.end();
      expect(await new Response(plain.stdout).text()).toBe("HELLO");
      expect(await plain.exited).toBe(0);
      // ssh shows it to its user.
      expect(await new Response(plain.stderr).text()).toBe("");

      const told = start(["--json"]);
      told.stdin.write("hello");
      told.stdin.end();
      expect(await new Response(told.stdout).text()).toBe("HELLO");
      const events = (await new Response(told.stderr).text()).trim().split("\n");
      expect(events.map((line) => JSON.parse(line))).toContainEqual({
        ...{ event: "stream", kind: "connect", bytesIn: 5, bytesOut: 5, end: "closed" },
      });
      expect(await told.exited).toBe(0);
      await box.stop();
    },
    testLimitMs,
  );

  test(
    "many bytes both ways at once come through whole",
    async () => {
      serve = (socket) => void socket.pipe(socket);
      const box = await ready(["private", String(originPort), "--name", "box", ...to()]);
      const sent = crypto.getRandomValues(new Uint8Array(65_536));
      const times = 256;
      const program = start();
      const feed = async () => {
        for (let i = 0; i < times; i++) {
          program.stdin.write(sent);
          await program.stdin.flush();
        }
        await program.stdin.end();
      };
      const [bytes] = await Promise.all([new Response(program.stdout).bytes(), feed()]);
      expect(bytes).toHaveLength(sent.length * times);
      for (let i = 0; i < times; i++)
        expect(Bun.hash(bytes.subarray(i * sent.length, (i + 1) * sent.length))).toBe(Bun.hash(sent));
      expect(await program.exited).toBe(0);
      await box.stop();
    },
    testLimitMs,
  );

  test(
    "a far end that has said all still gets what stdin brings, and stdout ends at once",
    async () => {
      const got = Promise.withResolvers<string>();
      serve = (socket) => {
        let text = "";
        socket.on("data", (bytes) => void (text += bytes.toString("latin1")));
        socket.on("end", () => got.resolve(text));
        socket.end("bye");
      };
      const box = await ready(["private", String(originPort), "--name", "box", ...to()]);
      const program = start();
      expect(await new Response(program.stdout).text()).toBe("bye");
      program.stdin.write("late");
      await program.stdin.end();
      expect(await got.promise).toBe("late");
      expect(await program.exited).toBe(0);
      await box.stop();
    },
    testLimitMs,
  );

  test(
    "when the far end has closed it exits, though nobody closes its stdin",
    async () => {
      serve = (socket) => void socket.end("bye");
      const box = await ready(["private", String(originPort), "--name", "box", ...to()]);
      const program = start();
      expect(await program.exited).toBe(0);
      await box.stop();
    },
    testLimitMs,
  );

  test(
    "an origin that does not listen is one line on stderr, and exit 1",
    async () => {
      const box = await ready(["private", String(await freePort()), "--name", "box", ...to()]);
      const program = start();
      expect(await program.exited).toBe(1);
      expect(await new Response(program.stdout).text()).toBe("");
      const said = await new Response(program.stderr).text();
      expect(said.trim().split("\n")).toHaveLength(1);
      expect(said).toStartWith("origin-refused: ");
      await box.stop();
    },
    testLimitMs,
  );
});

describe("without --relay", () => {
  test(
    "tcp has a port of this machine",
    async () => {
      serve = shout;
      const agent = await ready(["tcp", String(originPort), "--listen", "127.0.0.1:0"]);
      const event = await agent.event("ready");
      expect(event["url"]).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
      expect(await exchange(portOf(event), "hello")).toBe("HELLO");
      const asked = await freePort();
      const other = await ready(["tcp", "1", "--listen", "127.0.0.1:0", "--remote-port", String(asked)]);
      expect(portOf(await other.event("ready"))).toBe(asked);
      await Promise.all([agent.stop(), other.stop()]);
    },
    testLimitMs,
  );

  test(
    "a private tunnel tells what reaches it: a relay's URL and a file with a token, for nobody else to read",
    async () => {
      serve = shout;
      const box = await ready(["private", String(originPort), "--name", "inner", "--listen", "127.0.0.1:0"]);
      const event = await box.event("ready");
      expect(event["url"]).toBe("private:inner");
      const { relay: url, tokenFile: file } = event["connect"] as { relay: string; tokenFile: string };
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      expect(await readFile(file, "utf8")).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
      const at = ["--relay", url, "--token-file", file];
      const way = await ready(["connect", "inner", "--listen", "0", ...at]);
      expect(await exchange(portOf(await way.event("ready")), "hello")).toBe("HELLO");
      // It is for this tunnel, and for reaching it.
      for (const args of [
        ["connect", "other", "--listen", "0", ...at],
        ["private", "1", "--name", "inner", ...at],
        ["http", "1", ...at],
      ]) {
        const refused = agentProgram(args);
        expect(await refused.exit()).toBe(4);
      }
      await way.stop();
      await box.stop();
      expect(await stat(file).catch(() => "gone")).toBe("gone");
    },
    testLimitMs,
  );
});
