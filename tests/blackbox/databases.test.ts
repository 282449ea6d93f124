import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { absent } from "./programs/installed.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, relayRuntime } from "./programs/relay.ts";
import { startAgentOf, startPortRelay } from "./programs/tcp-tunnel.ts";
import { Postgres } from "./real/postgres.ts";
import { Redis } from "./real/redis.ts";

const testLimitMs = 60_000;
const noPostgres = absent("postgres", "initdb", "pgbench", "psql", "setpriv");
const noRedis = absent("redis-server", "redis-benchmark", "redis-cli");

// How fast they are beside the same without the tunnel is told by tests/soak/databases.test.ts.
describe.skipIf(relayRuntime === "workerd")("through a tcp tunnel", () => {
  let relay: Relay;
  let token: string;
  const agents: Program[] = [];

  beforeAll(async () => {
    relay = await startPortRelay();
    token = await relay.token();
  }, testLimitMs);
  afterAll(async () => {
    for (const agent of agents) await agent.kill();
    await relay?.kill();
  });

  async function portTo(origin: number): Promise<number> {
    const { program, url } = await startAgentOf(relay, token, ["tcp", String(origin)]);
    agents.push(program);
    return Number(url.port);
  }

  describe.skipIf(noPostgres !== "")(`PostgreSQL${noPostgres && ` (absent: ${noPostgres})`}`, () => {
    let postgres: Postgres;
    let port: number;

    beforeAll(async () => {
      postgres = await Postgres.start(1);
      port = await portTo(postgres.port);
    }, testLimitMs);
    afterAll(async () => await postgres?.stop());

    test(
      "serves pgbench's transactions to eight visitors, none fails, and the books agree",
      async () => {
        for (const [seconds, selectOnly] of [
          [1, true],
          [2, false],
        ] as const)
          expect(await postgres.visit(port, { seconds, visitors: 8, selectOnly })).toBeGreaterThan(0);
        expect(new Set(await postgres.books(port)).size).toBe(1);
      },
      testLimitMs,
    );

    test(
      "gives 100,000 rows as it does without the tunnel",
      async () => {
        const rows = await postgres.accounts(port);
        expect(rows.length).toBeGreaterThan(5_000_000);
        expect(rows === (await postgres.accounts(postgres.port))).toBe(true);
      },
      testLimitMs,
    );
  });

  describe.skipIf(noRedis !== "")(`Redis${noRedis && ` (absent: ${noRedis})`}`, () => {
    let redis: Redis;
    let port: number;

    beforeAll(async () => {
      redis = await Redis.start();
      port = await portTo(redis.port);
    }, testLimitMs);
    afterAll(async () => await redis?.stop());

    test.each([1, 16])(
      "answers 50 visitors of redis-benchmark with %d requests under way each",
      async (pipeline) => {
        for (const command of ["set", "get"] as const)
          expect(
            await redis.visit(port, { command, requests: 20_000, visitors: 50, pipeline }),
          ).toBeGreaterThan(0);
      },
      testLimitMs,
    );

    test(
      "keeps a value of 8 MB that comes by the tunnel, and gives it back",
      async () => {
        const value = randomBytes(4_000_000).toString("hex");
        await redis.set(port, "large", value);
        expect((await redis.get(redis.port, "large")) === value).toBe(true);
        expect((await redis.get(port, "large")) === value).toBe(true);
      },
      testLimitMs,
    );
  });
});
