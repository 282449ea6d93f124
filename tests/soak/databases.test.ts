import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { absent } from "../blackbox/programs/installed.ts";
import type { Program } from "../blackbox/programs/program.ts";
import { type Relay, relayRuntime } from "../blackbox/programs/relay.ts";
import { startAgentOf, startPortRelay } from "../blackbox/programs/tcp-tunnel.ts";
import { Postgres } from "../blackbox/real/postgres.ts";
import { Redis } from "../blackbox/real/redis.ts";
import { Figures } from "./figures.ts";
import { compare } from "./rounds.ts";

const testLimitMs = 300_000;
const pgbenchSeconds = 4;
/** In 100,000 rows: more than the visitors, so that they don't wait for each other's rows. */
const pgbenchScale = 10;
const noPostgres = absent("postgres", "initdb", "pgbench", "psql", "setpriv");
const noRedis = absent("redis-server", "redis-benchmark");
const figures = new Figures();

describe.skipIf(relayRuntime === "workerd")("through a tcp tunnel", () => {
  let relay: Relay;
  let token: string;
  const agents: Program[] = [];

  beforeAll(async () => {
    relay = await startPortRelay(["--quiet"]);
    token = await relay.token();
  }, testLimitMs);
  afterAll(async () => {
    figures.print();
    for (const agent of agents) await agent.kill();
    await relay?.kill();
  });

  async function portTo(origin: number): Promise<number> {
    const { program, url } = await startAgentOf(relay, token, ["tcp", String(origin), "--quiet"]);
    agents.push(program);
    return Number(url.port);
  }

  describe.skipIf(noPostgres !== "")(`pgbench -c 8${noPostgres && ` (absent: ${noPostgres})`}`, () => {
    let postgres: Postgres;
    let port: number;

    beforeAll(async () => {
      postgres = await Postgres.start(pgbenchScale);
      port = await portTo(postgres.port);
    }, testLimitMs);
    afterAll(async () => await postgres?.stop());

    test.each([
      ["select-only", true],
      ["default", false],
    ])(
      "%s, beside pgbench without it: no transaction fails, and the books agree",
      async (name, selectOnly) => {
        const visit = (to: number) =>
          postgres.visit(to, { seconds: pgbenchSeconds, visitors: 8, selectOnly });
        await compare(figures, `pgbench -c 8, ${name}`, "transactions/s", {
          direct: () => visit(postgres.port),
          tunnel: () => visit(port),
        });
        expect(new Set(await postgres.books(port)).size).toBe(1);
      },
      testLimitMs,
    );
  });

  describe.skipIf(noRedis !== "")(`redis-benchmark -c 50${noRedis && ` (absent: ${noRedis})`}`, () => {
    let redis: Redis;
    let port: number;

    beforeAll(async () => {
      redis = await Redis.start();
      port = await portTo(redis.port);
    }, testLimitMs);
    afterAll(async () => await redis?.stop());

    test.each([
      [1, "set", 100_000],
      [1, "get", 100_000],
      [16, "set", 1_000_000],
      [16, "get", 1_000_000],
    ] as const)(
      "-P %d -t %s, beside it without the tunnel",
      async (pipeline, command, requests) => {
        const visit = (to: number) => redis.visit(to, { command, requests, visitors: 50, pipeline });
        await compare(figures, `redis-benchmark -c 50 -P ${pipeline}, ${command}`, "requests/s", {
          direct: () => visit(redis.port),
          tunnel: () => visit(port),
        });
      },
      testLimitMs,
    );
  });
});
