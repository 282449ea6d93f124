import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentProgram } from "./programs/agent.ts";
import { testExcept } from "./programs/except.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, relayProgram, startRelay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { RawOrigin } from "./raw/origin.ts";
import { visit } from "./raw/visitor.ts";

const testLimitMs = 60_000;
const noProgram = { workerd: "its platform starts and stops it, and keeps names in its own storage" };

let origin: RawOrigin;
let data: string;
let relay: Relay | undefined;
const programs: Program[] = [];

beforeAll(async () => {
  origin = await RawOrigin.listen();
}, testLimitMs);
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), "underpass-names-"));
});
afterEach(async () => {
  await Promise.all([relay?.kill(), ...programs.splice(0).map((program) => program.kill())]);
  relay = undefined;
  await rm(data, { recursive: true, force: true });
});
afterAll(() => origin?.close());

async function start(
  options: { readonly port?: number; readonly args?: readonly string[] } = {},
): Promise<Relay> {
  relay = await startRelay({ data, ...options });
  return relay;
}

async function agentOf(sub: string, at: Relay): Promise<Program> {
  const token = await at.token({ sub });
  const agent = await startAgent(at, { origin: origin.port, name: "blue", token });
  programs.push(agent);
  return agent;
}

/** The agent of another subject asks for the name and gives up: its exit code and error. */
async function refusal(sub: string, at: Relay): Promise<[number, unknown]> {
  const args = ["http", String(origin.port), "--relay", at.url, "--name", "blue", "--json"];
  const agent = agentProgram(args, { env: { UNDERPASS_TOKEN: await at.token({ sub }) } });
  programs.push(agent);
  const code = await agent.exit();
  return [code, agent.events.find(({ event }) => event === "error")?.["code"]];
}

describe("a name after a restart of the relay", () => {
  for (const end of ["stop", "kill"] as const) {
    test(
      `is its owner's, and nobody else's (${end})`,
      async () => {
        const first = await start();
        const agent = await agentOf("alice", first);
        // So that nobody but the relay's memory holds the name.
        await agent.kill();
        await first[end]();
        const second = await start();
        expect(await refusal("bob", second)).toEqual([4, "name-taken"]);
        await agentOf("alice", second);
        const answer = await visit({ port: second.port, host: second.hostFor("blue") });
        expect(answer).toMatchObject({ status: 200, text: "ok" });
      },
      testLimitMs,
    );
  }

  testExcept(
    noProgram,
    "is awaited if its agent was there when the relay was killed: a visitor waits, and is served",
    async () => {
      const first = await start();
      const agent = await agentOf("alice", first);
      await first.kill();
      await agent.kill();
      const second = await start();
      const visited = visit({ port: second.port, host: second.hostFor("blue") });
      await agentOf("alice", second);
      expect(await visited).toMatchObject({ status: 200, text: "ok" });
    },
    testLimitMs,
  );

  testExcept(
    noProgram,
    "is offline, not unknown, if its agent had said goodbye",
    async () => {
      const first = await start();
      const agent = await agentOf("alice", first);
      expect(await agent.stop()).toBe(0);
      await first.program?.output((_, stderr) => stderr.includes("agent blue gone"));
      await first.kill();
      const second = await start();
      const { status, head } = await visit({ port: second.port, host: second.hostFor("blue") });
      expect([status, head.field("underpass-error")]).toEqual([503, "agent-offline"]);
    },
    testLimitMs,
  );

  testExcept(
    noProgram,
    "is free once --name-ttl has passed since its agent left, counted over the restart",
    async () => {
      const first = await start();
      const agent = await agentOf("alice", first);
      await agent.stop();
      await first.stop();
      // The ttl is that of the process in which the agent left.
      const second = await start({ args: ["--name-ttl", "1s"] });
      expect(await refusal("bob", second)).toEqual([4, "name-taken"]);
      const again = await agentOf("alice", second);
      await again.stop();
      await second.stop();
      const leftMs = Date.now();
      const third = await start();
      // The wait is the test: a name lapses with the date.
      while (Date.now() < leftMs + 1_000) await new Promise((resolve) => setTimeout(resolve, 50));
      await agentOf("bob", third);
    },
    testLimitMs,
  );
});

describe("a relay with --reuse-port", () => {
  testExcept(
    noProgram,
    "lets its successor listen beside it, and both know whose a name is",
    async () => {
      const args = ["--reuse-port"];
      const first = await start({ args });
      await agentOf("alice", first);
      const { port } = first;
      const second = await startRelay({ data, port, args });
      relay = second;
      first.program?.signal("SIGTERM");
      expect(await first.program?.exit()).toBe(0);
      expect(await refusal("bob", second)).toEqual([4, "name-taken"]);
      // Its agent comes over by itself.
      const answer = await visit({ port, host: second.hostFor("blue") });
      expect(answer).toMatchObject({ status: 200, text: "ok" });
    },
    testLimitMs,
  );

  testExcept(
    noProgram,
    "takes no port from a relay that does not share it",
    async () => {
      const { port } = await start();
      const other = relayProgram(["--reuse-port", "--listen", `127.0.0.1:${port}`, "--data", data]);
      programs.push(other);
      expect(await other.exit()).toBe(1);
      expect(other.stderr).toContain("Can't listen");
    },
    testLimitMs,
  );
});

describe("a relay that can keep nothing", () => {
  const env = { UNDERPASS_SECRET: "k".repeat(32) };

  testExcept(
    noProgram,
    "runs on, and says so, where it has its key from elsewhere and was told no folder",
    async () => {
      await writeFile(join(data, ".underpass"), "in the way");
      const program = relayProgram(["--json", "--listen", "127.0.0.1:0"], { env, cwd: data });
      programs.push(program);
      await program.event("listening");
      expect(program.stderr).toContain("Names can't be kept in");
      expect(await program.stop()).toBe(0);
    },
    testLimitMs,
  );

  testExcept(
    noProgram,
    "ends with 1 and a line where it was told a folder",
    async () => {
      const file = join(data, "file");
      await writeFile(file, "in the way");
      const program = relayProgram(["--listen", "127.0.0.1:0", "--data", file], { env });
      programs.push(program);
      expect(await program.exit()).toBe(1);
      expect(program.stderr.trim().split("\n")).toHaveLength(1);
    },
    testLimitMs,
  );
});
