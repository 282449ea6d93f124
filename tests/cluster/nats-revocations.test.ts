import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Revocation } from "../../relay/auth/revocations.ts";
import { joinCluster } from "../../relay/runtimes/cluster.ts";
import { openNats } from "../../relay/runtimes/nats.ts";
import { MemoryRevocations } from "../../relay/stores/memory-revocations.ts";
import { SharedRevocations } from "../../relay/stores/shared-revocations.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { NatsServer, natsServerPath } from "./nats-server.ts";

const testLimitMs = 30_000;
const owner = (subject: string) => JSON.stringify(["underpass", subject]);

async function until(met: () => Promise<boolean>): Promise<void> {
  while (!(await met())) await new Promise((resolve) => setImmediate(resolve));
}

class RelayHere {
  readonly own = new MemoryRevocations();
  readonly told: Revocation[] = [];
  revocations: SharedRevocations | undefined;
  close: () => Promise<void> = async () => {};
  #heard: () => void = () => {};

  static async start(server: NatsServer, cluster: string): Promise<RelayHere> {
    const relay = new RelayHere();
    const nats = await openNats({ urls: server.url, cluster, clock: systemClock, fault: () => {} });
    const { own } = relay;
    relay.revocations = new SharedRevocations({ registry: nats.revoked, own, fault: () => {} });
    relay.revocations.watch((revocation) => {
      relay.told.push(revocation);
      relay.#heard();
    });
    relay.close = () => nats.close();
    return relay;
  }

  async revoke(subject: string, untilMs: number): Promise<void> {
    await this.revocations?.revoke(owner(subject), untilMs);
  }

  /** Once it knows that the subject's tokens are revoked up to then. */
  async knows(subject: string, untilMs: number): Promise<void> {
    while (this.own.revokedUntil(owner(subject)) !== untilMs)
      await new Promise<void>((resolve) => (this.#heard = resolve));
  }
}

describe.skipIf(natsServerPath === undefined)("revocations over NATS", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await NatsServer.start();
  });
  afterAll(() => server?.close());

  test(
    "are known to a relay before it takes anybody",
    async () => {
      const a = await RelayHere.start(server, "c0");
      await a.revoke("alice", 5_000);
      const { revocations, close } = await joinCluster(
        { urls: [server.url], name: "c0" },
        { clock: systemClock, own: new MemoryRevocations(), fault() {} },
      );
      expect(await revocations.revokedUntil(owner("alice"))).toBe(5_000);
      for (const relay of [a, { close }]) await relay.close();
    },
    testLimitMs,
  );

  test(
    "reach the other relays, whatever the subject is written with, and one that starts later",
    async () => {
      const [a, b] = [await RelayHere.start(server, "c1"), await RelayHere.start(server, "c1")];
      const subjects = ["alice", "bob > * . c", "ä".repeat(256), "🙂/\\\"'"];
      for (const [index, subject] of subjects.entries()) await a.revoke(subject, index + 1);
      const late = await RelayHere.start(server, "c1");
      for (const relay of [a, b, late])
        for (const [index, subject] of subjects.entries()) await relay.knows(subject, index + 1);
      const other = await RelayHere.start(server, "c2");
      await other.revoke("zoe", 1);
      expect(other.own.size).toBe(1);
      for (const relay of [a, b, late, other]) await relay.close();
    },
    testLimitMs,
  );

  test(
    "by all at once for one owner: the latest date stands at all",
    async () => {
      const relays = [await RelayHere.start(server, "c3"), await RelayHere.start(server, "c3")];
      const last = 40;
      const dates = Array.from({ length: last }, (_, i) => ((i * 7) % last) + 1);
      await Promise.all(dates.map((date, i) => relays[i % 2]?.revoke("alice", date)));
      for (const relay of relays) await relay.knows("alice", last);
      const late = await RelayHere.start(server, "c3");
      await late.knows("alice", last);
      for (const relay of [...relays, late]) await relay.close();
    },
    testLimitMs,
  );
});

describe.skipIf(natsServerPath === undefined)("a NATS that is away", () => {
  test(
    "that falls silent, or is killed, while one is written: all are refused for the same reason",
    async () => {
      const server = await NatsServer.start();
      const relay = await RelayHere.start(server, "c");
      const revokeMany = (round: string) =>
        Array.from({ length: 50 }, (_, i) =>
          relay.revoke(`${round} ${i}`, 1).then(
            () => "kept",
            (error: { readonly code?: string }) => error.code,
          ),
        );
      await server.pause();
      const silent = await Promise.all(revokeMany("silent"));
      expect(new Set(silent)).toEqual(new Set(["registry-unreachable"]));
      await server.stop({ signal: "SIGKILL" });
      await server.start();
      await until(async () => (await revokeMany("again")[0]) === "kept");
      const writing = revokeMany("killed");
      await server.stop({ signal: "SIGKILL" });
      for (const outcome of await Promise.all(writing))
        expect(["kept", "registry-unreachable"]).toContain(String(outcome));
      await relay.close();
      await server.close();
    },
    testLimitMs,
  );

  test(
    "refuses them; what is known holds, and one that comes back empty is told it again",
    async () => {
      const server = await NatsServer.start();
      const [a, b] = [await RelayHere.start(server, "c"), await RelayHere.start(server, "c")];
      await a.revoke("alice", 5_000);
      await b.knows("alice", 5_000);
      await server.stop({ emptied: true });
      await expect(a.revoke("bob", 6_000)).rejects.toMatchObject({ code: "registry-unreachable" });
      expect([a, b].map(({ own }) => own.revokedUntil(owner("bob")))).toEqual([undefined, undefined]);
      expect(b.own.revokedUntil(owner("alice"))).toBe(5_000);
      await server.start();
      const late = await RelayHere.start(server, "c");
      await late.knows("alice", 5_000);
      // One of them is back by now; whoever is not, hears of it when he is.
      await late.revoke("carol", 7_000);
      for (const relay of [a, b, late]) await relay.knows("carol", 7_000);
      for (const relay of [a, b, late]) await relay.close();
      await server.close();
    },
    testLimitMs,
  );
});
