import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentProgram } from "./programs/agent.ts";
import { relayProgram } from "./programs/relay.ts";

const testLimitMs = 60_000;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "underpass-usage-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const oneLine = (text: string) => text.trim().split("\n").length === 1;

describe("agent: bad usage is exit 2 with a line on stderr and nothing on stdout", () => {
  const wrong: readonly (readonly string[])[] = [
    [],
    ["--port", "0"],
    ["--port", "70000"],
    ["--port", "x"],
    ["--unknown"],
    ["nonsense"],
    ["http"],
    ["http", "8080", "9090"],
    ["http", "8080", "--port", "8080"],
    ["http", "ftp://x"],
    ["http", "8080", "--name", "UPPER"],
    ["http", "8080", "--name", "-a"],
    ["http", "8080", "--name", "a".repeat(64)],
    ["http", "8080", "--relay", "nonsense"],
    ["http", "8080", "--relay", "http://relay.example", "--token-file", "x"],
    ["http", "8080", "--max-reconnect-delay", "soon"],
    ["http", "8080", "--links", "many"],
    ["http", "8080", "--relay", "http://127.0.0.1:1", "--token-file", "/nonexistent/token"],
    // A device never ends.
    ["http", "8080", "--relay", "http://127.0.0.1:1", "--token-file", "/dev/zero"],
    ["tcp"],
    ["tcp", "5432", "--host-header", "origin"],
    ["tcp", "5432", "--remote-port", "0"],
    ["tls", "443", "--remote-port", "443"],
    ["udp", "unix:/run/x.sock"],
    ["udp", "53", "--proxy-protocol", "v1"],
    ["private", "22", "--allow-egress", "nonsense"],
    ["--allow-egress", "*:443"],
    ["connect", "box", "--listen", "127.0.0.1:0"],
    ["connect", "box", "--relay", "https://relay.example"],
    ["connect", "--stdio", "--relay", "https://relay.example"],
    ["connect", "Box", "--stdio", "--relay", "https://relay.example"],
    ["connect", "box", "--stdio", "--listen", "1", "--relay", "https://relay.example"],
    ["proxy", "--listen", "127.0.0.1:0"],
    ["proxy", "--relay", "https://relay.example"],
    ["proxy", "--listen", "0", "--auth-file", "/nonexistent", "--relay", "http://127.0.0.1:1"],
    ["forward", "--listen", "127.0.0.1:0"],
    ["forward", "--listen", "127.0.0.1:0", "--to", "nowhere"],
    ["forward", "--listen", "127.0.0.1:0", "--to", "a:1", "--links", "2"],
    ["http", "8080", "--transport", "pigeon"],
    ["start", "Web"],
    ["config"],
    ["config", "chek"],
  ];
  for (const args of wrong) {
    test(
      args.join(" ") || "nothing at all",
      async () => {
        const agent = agentProgram(args);
        expect(await agent.exit()).toBe(2);
        expect(agent.stdout).toBe("");
        expect(agent.stderr).not.toBe("");
        expect(agent.stderr).not.toMatch(/\n\s+at /);
      },
      testLimitMs,
    );
  }
});

describe("relay: bad usage is exit 2 with a line on stderr and nothing on stdout", () => {
  const wrong: readonly (readonly string[])[] = [
    ["--unknown"],
    ["nonsense"],
    ["--listen", "nonsense"],
    ["--domain", "-"],
    ["--routing", "sideways"],
    ["--memory", "much"],
    ["--grace", "long"],
    ["--public-url", "relay"],
    ["token"],
    ["token", "--sub", "x", "--ttl", "soon"],
    ["token", "--sub", "x", "--kind", "smoke"],
    ["token", "--sub", "x", "--egress", "10.0.0.0/8"],
    ["--tcp-ports", "many"],
    ["--udp-ports", "2-1"],
    ["--tls-listen", "443"],
    ["--jwks", "keys.json"],
  ];
  for (const args of wrong) {
    test(
      args.join(" "),
      async () => {
        const program = relayProgram(args, { cwd: folder });
        expect(await program.exit()).toBe(2);
        expect(program.stdout).toBe("");
        expect(program.stderr).not.toBe("");
        expect(program.stderr).not.toMatch(/\n\s+at /);
      },
      testLimitMs,
    );
  }

  test(
    "a secret of less than 32 bytes",
    async () => {
      await writeFile(join(folder, "short"), `${"s".repeat(31)}\n`);
      for (const program of [
        relayProgram(["--listen", "127.0.0.1:0", "--data", folder, "--secret-file", join(folder, "short")]),
        relayProgram(["--listen", "127.0.0.1:0", "--data", folder], { env: { UNDERPASS_SECRET: "short" } }),
      ]) {
        expect(await program.exit()).toBe(2);
        expect(oneLine(program.stderr)).toBe(true);
        expect(program.stderr).not.toContain("sss");
      }
    },
    testLimitMs,
  );
});

describe("help", () => {
  const agentSwitches =
    "--port --relay --listen --token-file --token --name --host-header --no-reconnect --max-reconnect-delay --links --join --transport --websocket-retry --json --insecure --origin-insecure --origin-dial-timeout --origin-head-timeout --remote-port --proxy-protocol --allow-egress --stdio --via --auth-file --to --config";
  const relaySwitches =
    "--tcp-ports --udp-ports --tls-listen --listen --domain --public-url --routing --secret-file --data --name-ttl --memory --grace --json";
  const tokenSwitches = "--sub --name --kind --connect --egress --ttl";
  for (const [what, start, switches] of [
    ["the agent", () => agentProgram(["--help"]), agentSwitches],
    [
      "agent connect",
      () => agentProgram(["connect", "--help"]),
      "--listen --stdio --relay --token-file --links --transport --json",
    ],
    ["agent config check", () => agentProgram(["config", "check", "--help"]), "--config --json"],
    ["the relay", () => relayProgram(["--help"]), relaySwitches],
    ["relay token", () => relayProgram(["token", "--help"]), tokenSwitches],
  ] as const) {
    test(
      `of ${what} names each switch, its variable and an example, on stdout, exit 0`,
      async () => {
        const program = start();
        expect(await program.exit()).toBe(0);
        expect(program.stderr).toBe("");
        for (const each of switches.split(" ")) {
          expect(program.stdout).toContain(each);
          expect(program.stdout).toContain(`UNDERPASS_${each.slice(2).toUpperCase().replaceAll("-", "_")}`);
        }
        expect(program.stdout.toLowerCase()).toMatch(/example|e\.g\./);
      },
      testLimitMs,
    );
  }
});
