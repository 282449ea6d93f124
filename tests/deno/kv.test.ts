import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentProgram } from "../blackbox/programs/agent.ts";
import { type DeployRelay, startDeployRelay } from "../blackbox/programs/deploy-relay.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { startAgent } from "../blackbox/programs/tunnel.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { visit } from "../blackbox/raw/visitor.ts";

// Two processes of one app on Deno Deploy, which share a Deno KV. Here that takes a flag, as it does nowhere else.

const testLimitMs = 60_000;

let folder: string;
let origin: RawOrigin;
let one: DeployRelay;
let other: DeployRelay;
const agents: Program[] = [];

/** Deno keeps the store in its own folder, by the name of the program. */
const start = () =>
  startDeployRelay({ data: folder, flags: ["--unstable-kv"], env: { DENO_DIR: join(folder, "deno") } });

const at = (relay: DeployRelay, name = "blue") => ({ port: relay.port, host: relay.hostFor(name) });

async function answer(relay: DeployRelay, name?: string): Promise<(string | number | undefined)[]> {
  const { status, head } = await visit(at(relay, name), "/");
  return [status, head.field("underpass-error"), head.field("retry-after")];
}

/** An agent of alice's, of which the other process can know. */
async function agent(relay: DeployRelay, name: string): Promise<Program> {
  const token = await relay.token({ sub: "alice" });
  const started = await startAgent(relay, { origin: origin.port, name, token });
  agents.push(started);
  // Who asks for a name waits until all that is known of it is written.
  expect(await claim(relay, name, "alice")).toBe(201);
  return started;
}

async function claim(relay: DeployRelay, name: string, sub: string): Promise<number> {
  const headers = { authorization: `Bearer ${await relay.token({ sub })}` };
  const body = JSON.stringify({ kind: "http", name });
  return (await fetch(`${relay.url}/_underpass/names`, { method: "POST", headers, body })).status;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "underpass-kv-"));
  origin = await RawOrigin.listen();
  one = await start();
  other = await start();
}, testLimitMs);
afterAll(async () => {
  await Promise.all([...agents, one, other].map((program) => program?.kill()));
  await origin?.close();
  await rm(folder, { recursive: true, force: true });
});

test(
  "a visitor who meets the process where the agent is not is told agent-elsewhere, and when to come again",
  async () => {
    await agent(one, "blue");
    expect(await answer(one)).toEqual([200, undefined, undefined]);
    expect(await answer(other)).toEqual([503, "agent-elsewhere", expect.any(String)]);
    expect(await answer(other, "nobody")).toEqual([404, "unknown-tunnel", undefined]);
  },
  testLimitMs,
);

test(
  "a name belongs to one owner at all of them",
  async () => {
    await agent(one, "red");
    expect(await claim(other, "red", "bob")).toBe(409);
    expect(await claim(other, "red", "alice")).toBe(201);
    const args = ["http", "1", "--relay", other.url, "--name", "red", "--json"];
    const thief = agentProgram(args, { env: { UNDERPASS_TOKEN: await other.token({ sub: "bob" }) } });
    agents.push(thief);
    expect((await thief.event("error"))["code"]).toBe("name-taken");
    expect(await thief.exit()).toBe(4);
  },
  testLimitMs,
);

test(
  "an agent that comes to another process is found there, and where it was before its visitors are told",
  async () => {
    const first = await agent(one, "green");
    expect(await answer(one, "green")).toEqual([200, undefined, undefined]);
    await first.kill();
    await agent(other, "green");
    expect(await answer(other, "green")).toEqual([200, undefined, undefined]);
    expect(await answer(one, "green")).toEqual([503, "agent-elsewhere", expect.any(String)]);
  },
  testLimitMs,
);

test(
  "who is revoked at one is refused at all of them",
  async () => {
    const token = await other.token({ sub: "carol" });
    const revoke = async (sub: string) => {
      const headers = { authorization: `Bearer ${await one.token({ sub: "root", admin: true })}` };
      const body = JSON.stringify({ sub });
      return (await fetch(`${one.url}/_underpass/revocations`, { method: "POST", headers, body })).status;
    };
    expect([await revoke("carol"), await revoke("carol")]).toEqual([201, 201]);
    const headers = { authorization: `Bearer ${token}` };
    const body = JSON.stringify({ kind: "http" });
    const claimed = await fetch(`${other.url}/_underpass/names`, { method: "POST", headers, body });
    expect(claimed.status).toBe(401);
    expect(await claim(other, "purple", "alice")).toBe(201);
  },
  testLimitMs,
);

test(
  "a process that Deploy ends leaves its agents to be waited for at the others",
  async () => {
    const third = await start();
    const leaving = await agent(third, "moves");
    third.program.signal("SIGINT");
    expect(await third.program.exit()).toBe(0);
    await leaving.kill();
    const held = answer(other, "moves");
    await agent(other, "moves");
    expect(await held).toEqual([200, undefined, undefined]);
  },
  testLimitMs,
);

test(
  "a process that ends without a word leaves its names to be served by another at once",
  async () => {
    await agent(one, "dead");
    expect(await answer(other, "dead")).toEqual([503, "agent-elsewhere", expect.any(String)]);
    await one.program.kill();
    await agent(other, "dead");
    expect(await answer(other, "dead")).toEqual([200, undefined, undefined]);
  },
  testLimitMs,
);

test("a store that can't be opened ends the process, unless it is to do without", async () => {
  const path = join(folder, "no-folder");
  await writeFile(path, "");
  const env = { DENO_DIR: join(path, "deno") };
  const flags = ["--unstable-kv"];
  await expect(startDeployRelay({ data: folder, flags, env })).rejects.toThrow("UNDERPASS_STORE=none");
  const without = await startDeployRelay({ data: folder, flags, env: { ...env, UNDERPASS_STORE: "none" } });
  expect(without.program.stderr).toContain("no Deno KV");
  await without.kill();
});
