import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JWTPayload, SignJWT, UnsecuredJWT } from "jose";
import { agentProgram } from "./programs/agent.ts";
import { residentMiB } from "./programs/memory.ts";
import { type Relay, startRelay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { RawOrigin } from "./raw/origin.ts";
import { Visitor, visit } from "./raw/visitor.ts";

const testLimitMs = 30_000;
const dialsLimitMs = 120_000;
const secret = "a secret of this test, longer than thirty-two bytes";
const otherSecret = "another secret of this test, also longer than thirty-two bytes";

let folder: string;
let relay: Relay;
let origin: RawOrigin;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "underpass-auth-"));
  await writeFile(join(folder, "secret"), `${secret}\n`);
  origin = await RawOrigin.listen();
  relay = await startRelay({ args: ["--secret-file", join(folder, "secret")] });
}, testLimitMs);
afterAll(async () => {
  await relay?.kill();
  await origin?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Making {
  readonly claims?: JWTPayload & { names?: unknown; kinds?: unknown };
  readonly key?: string;
  readonly alg?: string;
  readonly without?: readonly string[];
}

/** A good token, but for what is asked for. */
function makeToken({ claims = {}, key = secret, alg = "HS256", without = [] }: Making = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const payload: JWTPayload = {
    iss: "underpass",
    aud: "underpass",
    sub: "tester",
    iat: now,
    exp: now + 3600,
    ...claims,
  };
  for (const name of without) delete payload[name];
  return new SignJWT(payload).setProtectedHeader({ alg }).sign(new TextEncoder().encode(key));
}

const hour = 3600;
const now = () => Math.floor(Date.now() / 1000);

/** Each is refused; 3: the token is not accepted, 4: what it asks for is not granted. */
const refused: readonly [string, () => Promise<string>, 3 | 4][] = [
  [
    "alg none",
    async () =>
      new UnsecuredJWT({
        iss: "underpass",
        aud: "underpass",
        sub: "x",
        iat: now(),
        exp: now() + hour,
      }).encode(),
    3,
  ],
  ["another key", () => makeToken({ key: otherSecret }), 3],
  ["another algorithm with the same key", () => makeToken({ alg: "HS512" }), 3],
  ["another audience", () => makeToken({ claims: { aud: "elsewhere" } }), 3],
  ["no audience", () => makeToken({ without: ["aud"] }), 3],
  ["another issuer", () => makeToken({ claims: { iss: "elsewhere" } }), 3],
  ["expired", () => makeToken({ claims: { iat: now() - 2 * hour, exp: now() - hour } }), 3],
  ["no expiry", () => makeToken({ without: ["exp"] }), 3],
  ["not yet valid", () => makeToken({ claims: { nbf: now() + hour } }), 3],
  ["no subject", () => makeToken({ without: ["sub"] }), 3],
  ["an empty subject", () => makeToken({ claims: { sub: "" } }), 3],
  ["names that are no list", () => makeToken({ claims: { names: "blue" } }), 3],
  ["garbage", async () => "garbage", 3],
  ["garbage in three parts", async () => "e30.e30.e30", 3],
  ["a token cut short", async () => (await makeToken()).slice(0, -3), 3],
  ["a name that is not allowed", () => makeToken({ claims: { names: ["red", "green-*"] } }), 4],
  ["no name allowed", () => makeToken({ claims: { names: [] } }), 4],
  ["a kind that is not allowed", () => makeToken({ claims: { kinds: ["tcp"] } }), 4],
];

function dial(token: string, ...more: string[]) {
  const args = ["http", String(origin.port), "--relay", relay.url, "--name", "blue", ...more];
  return agentProgram(args, { env: token ? { UNDERPASS_TOKEN: token } : {} });
}

describe("refused", () => {
  for (const [name, make, code] of refused) {
    test(
      `${name}: exit ${code} with one clear line`,
      async () => {
        const token = await make();
        const agent = dial(token);
        expect(await agent.exit()).toBe(code);
        expect(agent.stdout).toBe("");
        expect(agent.stderr.trim().split("\n").length).toBe(1);
        expect(agent.stderr.length).toBeLessThan(400);
        if (token.length > 10) expect(agent.stderr).not.toContain(token);
      },
      testLimitMs,
    );
  }

  test(
    "no token: exit 3 with one clear line",
    async () => {
      const agent = dial("");
      expect(await agent.exit()).toBe(3);
      expect(agent.stderr.trim().split("\n").length).toBe(1);
    },
    testLimitMs,
  );

  test(
    "with --json it is one event, and fatal",
    async () => {
      const agent = dial(await makeToken({ key: otherSecret }), "--json");
      expect(await agent.exit()).toBe(3);
      const errors = agent.events.filter((event) => event.event === "error");
      expect(errors.length).toBe(1);
      expect(errors[0]).toMatchObject({ code: "unauthorized", fatal: true });
      expect(agent.events.some((event) => event.event === "ready")).toBe(false);
    },
    testLimitMs,
  );

  test("none of them left a tunnel behind", async () => {
    const { head } = await visit({ port: relay.port, host: relay.hostFor("blue") });
    expect(head.field("underpass-error")).toBe("unknown-tunnel");
  });

  test(
    "a name that belongs to another subject: exit 4, and the owner stays",
    async () => {
      const owner = await startAgent(relay, {
        origin: origin.port,
        name: "owned",
        token: await makeToken({ claims: { sub: "alice" } }),
      });
      const token = await makeToken({ claims: { sub: "mallory" } });
      const thief = agentProgram(["http", "1", "--relay", relay.url, "--name", "owned"], {
        env: { UNDERPASS_TOKEN: token },
      });
      expect(await thief.exit()).toBe(4);
      expect((await visit({ port: relay.port, host: relay.hostFor("owned") })).text).toBe("ok");
      await owner.stop();
      const again = agentProgram(["http", "1", "--relay", relay.url, "--name", "owned"], {
        env: { UNDERPASS_TOKEN: token },
      });
      expect(await again.exit()).toBe(4);
    },
    testLimitMs,
  );
});

describe("accepted", () => {
  const good: readonly [string, () => Promise<string>, string][] = [
    ["a plain token", () => makeToken(), "plain"],
    ["a name that a glob allows", () => makeToken({ claims: { names: ["red", "green-*"] } }), "green-1"],
    ["the kind is granted", () => makeToken({ claims: { kinds: ["tcp", "http"] } }), "kind"],
    ["a clock that is 3 s off", () => makeToken({ claims: { iat: now() + 3, nbf: now() + 3 } }), "clock"],
    ["the audience in a list", () => makeToken({ claims: { aud: ["else", "underpass"] } }), "listed"],
  ];
  for (const [name, make, tunnel] of good) {
    test(
      name,
      async () => {
        const agent = await startAgent(relay, { origin: origin.port, name: tunnel, token: await make() });
        expect((await visit({ port: relay.port, host: relay.hostFor(tunnel) })).text).toBe("ok");
        expect(await agent.stop()).toBe(0);
      },
      testLimitMs,
    );
  }

  test(
    "without --name a random name is granted, one that the token allows",
    async () => {
      const agent = agentProgram(["http", String(origin.port), "--relay", relay.url, "--json"], {
        env: { UNDERPASS_TOKEN: await makeToken() },
      });
      const name = String((await agent.event("ready"))["name"]);
      expect(name).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
      expect(name.length).toBeGreaterThan(8);
      expect((await visit({ port: relay.port, host: relay.hostFor(name) })).text).toBe("ok");
      await agent.stop();
    },
    testLimitMs,
  );
});

test(
  "at its expiry a live session ends: the agent exits 3",
  async () => {
    const token = await makeToken({ claims: { iat: now() - 10, exp: now() + 1 } });
    const agent = await startAgent(relay, { origin: origin.port, name: "brief", token });
    expect(await agent.exit()).toBe(3);
    expect(agent.events.at(-1)).toMatchObject({ event: "error", code: "token-expired", fatal: true });
  },
  testLimitMs,
);

test(
  "at its expiry an agent with a renewed --token-file goes on",
  async () => {
    const file = join(folder, "token");
    await writeFile(file, await makeToken({ claims: { iat: now() - 10, exp: now() + 2 } }));
    const agent = agentProgram([
      "http",
      String(origin.port),
      "--relay",
      relay.url,
      "--name",
      "renewed",
      "--token-file",
      file,
      // Another link might come with the renewed token, and go on.
      ...["--links", "1"],
      "--json",
    ]);
    await agent.event("ready");
    await writeFile(file, await makeToken());
    // Either way of renewing is good: a new session after the loss, or a move before it.
    await agent.event("ready", () => true, agent.mark);
    expect((await visit({ port: relay.port, host: relay.hostFor("renewed") })).text).toBe("ok");
    expect(await agent.stop()).toBe(0);
  },
  testLimitMs,
);

test(
  "no secret and no token stands in what the programs print",
  async () => {
    const token = await makeToken();
    const agent = await startAgent(relay, { origin: origin.port, name: "quiet", token, args: ["--verbose"] });
    await visit({ port: relay.port, host: relay.hostFor("quiet") }, "/?q", [
      "Authorization: Bearer visitor-secret",
      "Cookie: session=visitor-cookie",
    ]);
    await agent.stop();
    const printed = [agent.stdout, agent.stderr, relay.program?.stdout, relay.program?.stderr].join("\n");
    const signature = token.split(".")[2] ?? "";
    for (const hidden of [secret, token, signature, "visitor-secret", "visitor-cookie"])
      expect(printed).not.toContain(hidden);
  },
  testLimitMs,
);

test(
  "dials without a credential are answered 401 and leave memory where it was",
  async () => {
    const { pid } = relay;
    if (pid === undefined) return;
    const round = async (dials: number) => {
      for (let at = 0; at < dials; at += 50) {
        await Promise.all(
          Array.from({ length: 50 }, async () => {
            using visitor = await Visitor.connect({ port: relay.port, host: `127.0.0.1:${relay.port}` });
            await visitor.send(
              "GET /_underpass/links/blue HTTP/1.1\r\nHost: HOST\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: underpass.1\r\n\r\n",
            );
            const answer = await visitor.answer();
            expect([answer.status, answer.head.field("underpass-error")]).toEqual([401, "unauthorized"]);
          }),
        );
      }
      return (await residentMiB(pid)).now;
    };
    // The first round fills caches and the garbage collector's room; the next two tell whether it grows.
    const after = [await round(1000), await round(1000), await round(1000)];
    expect((after[2] ?? 0) - (after[0] ?? 0)).toBeLessThan(24);
  },
  dialsLimitMs,
);
