import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type AddressInfo, createServer, type Server } from "node:net";
import { agentCommand } from "./programs/agent.ts";
import { freePort } from "./programs/free-port.ts";
import { absent } from "./programs/installed.ts";
import { Program } from "./programs/program.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";
import { startAgentOf, startPortRelay } from "./programs/tcp-tunnel.ts";
import { netcat } from "./real/netcat.ts";

const testLimitMs = 60_000;
const missing = absent("nc");
/** More than all that lies in sockets and windows on the way. */
const longBytes = 6 * 2 ** 20;

/** How a visitor comes to an origin: `direct` is the measure of what nc itself does. */
type Way = "direct" | "tcp" | "connect --listen" | "connect --stdio";
const publicPorts = relayRuntime !== "workerd";
const ways: readonly Way[] = [
  "direct",
  ...(publicPorts ? ["tcp" as const] : []),
  "connect --listen",
  "connect --stdio",
];

describe.skipIf(missing !== "")(`nc -N${missing && ` (absent: ${missing})`}`, () => {
  const programs: Program[] = [];
  const short = "data";
  let long: string;
  let relay: Relay;
  let token: string;
  /** Answers when all has been said to it, as `answer` says. */
  let origin: Server;
  let answer = "";
  let heard = "";
  let waitingPort: number;
  let visitors: Readonly<Record<"answering" | "waiting", Record<Way, (said: string) => Program>>>;

  beforeAll(async () => {
    long = randomBytes(longBytes / 2).toString("hex");
    origin = createServer({ allowHalfOpen: true }, (socket) => {
      heard = "";
      socket.on("error", () => {});
      socket.on("data", (bytes) => void (heard += String(bytes)));
      socket.on("end", () => socket.end(answer));
    });
    await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
    waitingPort = await freePort();
    relay = publicPorts ? await startPortRelay() : await startRelay();
    token = await relay.token({ connect: ["answering", "waiting"] });
    visitors = {
      answering: await open("answering", (origin.address() as AddressInfo).port),
      waiting: await open("waiting", waitingPort),
    };
  }, testLimitMs);
  afterAll(async () => {
    for (const program of programs) await program.kill();
    await relay?.kill();
    origin?.close();
  });

  async function start(...args: readonly string[]): Promise<number> {
    const { program, url } = await startAgentOf(relay, token, args);
    programs.push(program);
    return Number(url.port);
  }

  async function open(name: string, port: number): Promise<Record<Way, (said: string) => Program>> {
    await start("private", String(port), "--name", name);
    const publicPort = publicPorts ? await start("tcp", String(port)) : 0;
    const localPort = await start("connect", name, "--listen", "127.0.0.1:0");
    const stdio = agentCommand(["connect", name, "--stdio", "--relay", relay.url, "--quiet"]);
    return {
      direct: (said) => netcat.visit(port, said),
      tcp: (said) => netcat.visit(publicPort, said),
      "connect --listen": (said) => netcat.visit(localPort, said),
      "connect --stdio": (stdin) => new Program(stdio, { stdin, env: { UNDERPASS_TOKEN: token } }),
    };
  }

  describe.each(ways)("%s", (way) => {
    test.each([
      ["a short question", () => short],
      ["a long question", () => long],
      ["no question at all", () => ""],
    ])(
      "hears a long answer that begins after the end of %s",
      async (_, say) => {
        const said = say();
        answer = long;
        const visitor = visitors.answering[way](said);
        expect(await visitor.exit()).toBe(0);
        expect([visitor.stdout.length, visitor.stdout === answer]).toEqual([longBytes, true]);
        expect([heard.length, heard === said]).toEqual([said.length, true]);
      },
      testLimitMs,
    );

    test.each([
      ["after a short answer", () => short],
      ["without an answer", () => ""],
    ])(
      "as the origin hears all of a long question %s, whose end was long ago",
      async (_, say) => {
        const said = say();
        const waiting = await netcat.wait(waitingPort, said);
        const visitor = visitors.waiting[way](long);
        expect([await visitor.exit(), await waiting.exit()]).toEqual([0, 0]);
        expect([waiting.stdout.length, waiting.stdout === long]).toEqual([longBytes, true]);
        expect(visitor.stdout).toBe(said);
      },
      testLimitMs,
    );
  });
});
