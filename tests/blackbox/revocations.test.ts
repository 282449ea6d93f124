import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Program } from "./programs/program.ts";
import { startRelay } from "./programs/relay.ts";
import { startAgent } from "./programs/tunnel.ts";
import { answerOk, RawOrigin } from "./raw/origin.ts";
import { Visitor, visit } from "./raw/visitor.ts";

const testLimitMs = 60_000;

describe("revoking a subject's tokens", () => {
  let relay: Awaited<ReturnType<typeof startRelay>>;
  let origin: RawOrigin;
  const agents: Program[] = [];
  const target = (name: string) => ({ port: relay.port, host: relay.hostFor(name) });

  beforeAll(async () => {
    [relay, origin] = await Promise.all([startRelay(), RawOrigin.listen(answerOk)]);
  }, testLimitMs);
  afterAll(async () => {
    for (const agent of agents) await agent.kill();
    await relay?.stop();
    await origin?.close();
  });

  async function revoke(token: string, body: string): Promise<readonly [number, string | undefined]> {
    using visitor = await Visitor.connect({ port: relay.port, host: `127.0.0.1:${relay.port}` });
    await visitor.send(
      `POST /_underpass/revocations HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer ${token}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    const answer = await visitor.answer();
    return [answer.status, answer.head.field("underpass-error")];
  }

  async function start(name: string, token: string): Promise<Program> {
    const agent = await startAgent(relay, { origin: origin.port, name, token });
    agents.push(agent);
    return agent;
  }

  test("takes an admin's token, and a subject", async () => {
    const refused = [401, "unauthorized"] as const;
    expect(await revoke(await relay.token({ sub: "alice" }), '{"sub":"bob"}')).toEqual(refused);
    const admin = await relay.token({ sub: "root", admin: true });
    for (const body of ["", "{}", '{"sub":""}', "[]"])
      expect(await revoke(admin, body)).toEqual([400, "bad-request"]);
  });

  test(
    "ends what goes on by them at the next look, refuses them for good, and leaves the others alone",
    async () => {
      const [token, admin] = [
        await relay.token({ sub: "alice" }),
        await relay.token({ sub: "root", admin: true }),
      ];
      const mine = await start("mine", token);
      await start("yours", await relay.token({ sub: "bob" }));
      for (const name of ["mine", "yours"]) expect((await visit(target(name))).status).toBe(200);
      expect(await revoke(admin, '{"sub":"alice"}')).toEqual([201, undefined]);
      // Where each tunnel looks for itself it may do so when something comes.
      const exit = mine.exit();
      let over = false;
      void exit.then(() => (over = true));
      while (!over) await visit(target("mine"));
      expect(await exit).toBe(3);
      expect(mine.events).toContainEqual(expect.objectContaining({ code: "token-expired", fatal: true }));
      const again = await startAgent(relay, { origin: origin.port, name: "mine", token }).catch(
        () => undefined,
      );
      expect(again).toBeUndefined();
      expect((await visit(target("yours"))).status).toBe(200);
    },
    testLimitMs,
  );
});
