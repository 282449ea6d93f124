import { afterEach, expect, test } from "bun:test";
import { type Nats, openNats } from "../../relay/runtimes/nats.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { NatsServer, natsServerPath } from "./nats-server.ts";

const testLimitMs = 30_000;
const opened: Nats[] = [];
const natsTest = test.skipIf(natsServerPath === undefined);

async function open({ url }: NatsServer): Promise<Nats> {
  const nats = await openNats({ urls: url, cluster: "tested", clock: systemClock, fault: () => {} });
  opened.push(nats);
  return nats;
}

/** What this one is told next. */
const told = ({ revocations }: Nats): Promise<[string, number]> =>
  new Promise((resolve) => revocations.watch?.((...revocation) => resolve(revocation)));

/** The way to NATS is as it says from now on. */
const reached = ({ bus }: Nats, wanted: boolean): Promise<void> =>
  new Promise((resolve) => bus.watch((is) => is === wanted && resolve()));

afterEach(async () => {
  for (const nats of opened.splice(0)) await nats.close();
});

natsTest(
  "whose tokens one relay takes back, all know at once, and who comes later before it lets anybody in",
  async () => {
    const server = await NatsServer.start();
    try {
      const [one, other] = [await open(server), await open(server)];
      const heard = told(other);
      await one.revocations.revoke("underpass alice", 5_000);
      expect(await heard).toEqual(["underpass alice", 5_000]);
      for (const nats of [one, other, await open(server)])
        expect(nats.revocations.revokedUntil("underpass alice")).toBe(5_000);
      expect(one.revocations.revokedUntil("underpass bob")).toBeUndefined();
      // An operator whose clock is behind takes nothing back of it.
      await other.revocations.revoke("underpass alice", 4_000);
      for (const nats of [other, await open(server)])
        expect(nats.revocations.revokedUntil("underpass alice")).toBe(5_000);
    } finally {
      await server.close();
    }
  },
  testLimitMs,
);

natsTest(
  "revocations are known while NATS is away, and put back where it has lost them",
  async () => {
    const server = await NatsServer.start();
    try {
      const one = await open(server);
      await one.revocations.revoke("underpass alice", 5_000);
      const lost = reached(one, false);
      await server.stop({ signal: "SIGKILL", emptied: true });
      await lost;
      expect(one.revocations.revokedUntil("underpass alice")).toBe(5_000);
      expect(Promise.resolve(one.revocations.revoke("underpass bob", 1))).rejects.toThrow();
      await server.start();
      const late = await open(server);
      if (late.revocations.revokedUntil("underpass alice") === undefined) await told(late);
      expect(late.revocations.revokedUntil("underpass alice")).toBe(5_000);
    } finally {
      await server.close();
    }
  },
  testLimitMs,
);
