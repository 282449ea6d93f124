import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { absent } from "./programs/installed.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, relayRuntime } from "./programs/relay.ts";
import { startAgentOf, startPortRelay } from "./programs/tcp-tunnel.ts";
import { Postgres } from "./real/postgres.ts";
import { Redis } from "./real/redis.ts";

const testLimitMs = 60_000;
const noPostgres = absent("postgres", "initdb", "pgbench", "psql", "setpriv");
const noRedis = absent("redis-server", "redis-benchmark");

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
        for (const selectOnly of [true, false])
          expect(await postgres.visit(port, { seconds: 2, visitors: 8, selectOnly })).toBeGreaterThan(0);
        const books = await postgres.books(port);
        expect(books).toEqual(await postgres.books(postgres.port));
        expect(new Set(books).size).toBe(1);
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
  });
});
