import { afterAll, describe, expect, test } from "bun:test";
import { isLater } from "../../relay/cluster/name-entry.ts";
import type { FoundName, NameEntry, Registry } from "../../relay/cluster/registry.ts";
import { openNats } from "../../relay/runtimes/nats.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { NatsServer, natsServerPath } from "../cluster/nats-server.ts";
import { MemoryRegistry, WatchedRegistry } from "../relay/memory-registry.ts";

// What relays expect of a registry, whatever it is kept in.

const entry: NameEntry = {
  ...{ owner: "alice", kind: "tcp", port: 20_000, agents: [], generation: 0, exclusive: 0, beatAt: 0 },
  ...{ bye: false, lapsesAt: 2_000_000_000_000 },
};
const agents = [{ instance: "a".repeat(16), generation: 1, relays: ["one", "two"] }];

/** Two relays' ways to one registry. */
type Make = () => Promise<{ one: Registry; two: Registry }>;

const closes: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closes.reverse()) await close();
});

async function inMemory(): ReturnType<Make> {
  const store = new MemoryRegistry();
  return { one: new WatchedRegistry(store), two: new WatchedRegistry(store) };
}

async function overNats(): ReturnType<Make> {
  const server = await NatsServer.start();
  closes.push(() => server.close());
  const open = async () => {
    const nats = await openNats({ urls: server.url, cluster: "names", clock: systemClock, fault() {} });
    closes.push(() => nats.close());
    return nats.registry;
  };
  return { one: await open(), two: await open() };
}

/** All that a relay is told, until what it waits for. */
class Ear {
  readonly known = new Map<string, FoundName>();
  isComplete = false;
  private waiting: (() => void)[] = [];

  constructor(registry: Registry) {
    registry.watch?.({
      begun() {},
      changed: (name, found) => {
        if (found === undefined) this.known.delete(name);
        else this.known.set(name, found);
        this.wake();
      },
      complete: () => {
        this.isComplete = true;
        this.wake();
      },
      lost() {},
    });
  }

  async until(is: () => boolean): Promise<void> {
    while (!is()) await new Promise<void>((go) => this.waiting.push(go));
  }

  private wake(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const go of waiting) go();
  }
}

describe.each<[string, Make, boolean]>([
  ["in memory", inMemory, false],
  ["over NATS", overNats, natsServerPath === undefined],
])("a registry %s", (_, make, isMissing) => {
  const made = isMissing ? undefined : make();
  const testing = isMissing ? test.skip : test;
  const both = () => made ?? make();

  testing("gives a name to whoever comes first, and takes a renewal for what was read only", async () => {
    const { one, two } = await both();
    const claims = await Promise.all([
      one.claim("blue", entry),
      two.claim("blue", { ...entry, owner: "bob" }),
    ]);
    expect(claims.filter((revision) => revision !== undefined).length).toBe(1);
    const found = await two.lookUp("blue");
    if (found === undefined) throw new Error("nothing was kept");
    const renewed = await one.renew("blue", { ...found.entry, agents, generation: 1 }, found.revision);
    expect(isLater(renewed ?? "", found.revision)).toBe(true);
    expect(await two.renew("blue", entry, found.revision)).toBeUndefined();
    expect(await two.lookUp("blue")).toEqual({
      entry: { ...found.entry, agents, generation: 1 },
      revision: renewed ?? "",
    });
    expect([await two.release("blue", found.revision), await two.release("blue", renewed ?? "")]).toEqual([
      false,
      true,
    ]);
    expect([await one.lookUp("blue"), await one.lookUp("nobodys")]).toEqual([undefined, undefined]);
    const again = await one.claim("blue", entry);
    expect(isLater(again ?? "", renewed ?? "")).toBe(true);
  });

  testing("tells all names, and every change of them", async () => {
    const { one, two } = await both();
    await one.claim("red", entry);
    const ear = new Ear(two);
    await ear.until(() => ear.isComplete);
    expect(ear.known.get("red")?.entry).toEqual(entry);
    const { revision } = ear.known.get("red") ?? {};
    const renewed = await one.renew("red", { ...entry, agents }, revision ?? "");
    await ear.until(() => ear.known.get("red")?.revision === renewed);
    expect(ear.known.get("red")?.entry.agents).toEqual(agents);
    await one.release("red", renewed ?? "");
    await ear.until(() => !ear.known.has("red"));
  });

  testing(
    "gives a public port to one name, until it is released as it was claimed or renewed last",
    async () => {
      const { one, two } = await both();
      const [mine, theirs] = await Promise.all([
        one.ports?.claim("tcp", 20_000, "blue"),
        two.ports?.claim("tcp", 20_000, "red"),
      ]);
      expect(theirs).toEqual(mine);
      expect(await two.ports?.claim("udp", 20_000, "red")).toMatchObject({ name: "red" });
      if (mine === undefined) throw new Error("no port was given");
      expect(await one.ports?.renew("tcp", 20_000, mine)).toBe(true);
      expect(await two.ports?.renew("tcp", 20_000, mine)).toBe(false);
      await two.ports?.release("tcp", 20_000, mine);
      const renewed = await two.ports?.claim("tcp", 20_000, "green");
      expect(renewed?.name).toBe(mine.name);
      if (renewed === undefined) throw new Error("it was lost");
      await two.ports?.release("tcp", 20_000, renewed);
      expect(await two.ports?.claim("tcp", 20_000, "green")).toMatchObject({ name: "green" });
      expect(await one.ports?.renew("tcp", 20_000, renewed)).toBe(false);
    },
  );
});
