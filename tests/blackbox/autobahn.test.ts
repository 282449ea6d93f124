import { afterAll, beforeAll, describe, expect } from "bun:test";
import { startEcho } from "./origins/echo.ts";
import { testExcept } from "./programs/except.ts";
import { Kosoku } from "./programs/kosoku.ts";
import { startTunnel, type Tunnel } from "./programs/tunnel.ts";

const testLimitMs = 180_000;
/** Where it can't be had, websocket.test.ts still has our own cases for the same chapters. */
const kosoku = await Kosoku.install();

describe.skipIf(!kosoku)("Autobahn, cases 1 to 7", () => {
  let echo: ReturnType<typeof startEcho>;
  let tunnel: Tunnel;
  beforeAll(async () => {
    echo = startEcho();
    tunnel = await startTunnel({ origin: echo.port });
  }, testLimitMs);
  afterAll(async () => {
    await tunnel?.close();
    await echo?.close();
  });

  testExcept(
    { workerd: "workerd reads the visitor's frames itself, and checks neither UTF-8 nor close codes" },
    "the verdicts through the tunnel are those of the origin direct",
    async () => {
      const direct = await kosoku?.verdicts(`ws://127.0.0.1:${echo.port}/`);
      const through = await kosoku?.verdicts(`ws://127.0.0.1:${tunnel.relay.port}/~blue/`);
      expect(Object.keys(direct ?? {}).length).toBeGreaterThan(200);
      expect(through).toEqual(direct);
    },
    testLimitMs,
  );
});
