import { beforeEach, describe, expect, test } from "bun:test";
import { FarTunnels } from "../../relay/far-tunnels.ts";
import { Names } from "../../relay/names.ts";
import { knownLimits } from "../../relay/stores/known-names.ts";
import { aliveMs } from "../../relay/stores/name-rows.ts";
import { writeLimits } from "../../relay/stores/name-writes.ts";
import { askLimits } from "../../relay/stores/registry-asks.ts";
import { SharedNames, sharedLimits } from "../../relay/stores/shared-names.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { turn } from "../shared/driver-bench.ts";
import { MemoryRegistry } from "./memory-registry.ts";

const ttlMs = 3_600_000;
const random = (bytes: Uint8Array<ArrayBuffer>) => crypto.getRandomValues(bytes);

let registry: MemoryRegistry;
let clock: VirtualClock;
beforeEach(() => {
  registry = new MemoryRegistry();
  clock = new VirtualClock();
});

/** A relay process, as far as names go. */
class Process {
  readonly faults: string[] = [];
  readonly read: string[] = [];
  readonly store: SharedNames;
  readonly names: Names;

  constructor(process: string) {
    const fault = (error: Error) => void this.faults.push(error.message);
    this.store = new SharedNames({ registry, clock, process, ttlMs, fault });
    this.store.watcher = { changed: (name) => void this.read.push(name), fenced() {} };
    this.names = new Names({ ttlMs, random, maxNames: 1_000 }, this.store);
  }

  /** What an agent's dial does; the code where it is refused. */
  async claim(name: string, owner = "alice"): Promise<string> {
    try {
      await this.store.load(name);
      this.names.claim(name, owner, "http", clock.now());
      await this.store.commit(name);
      return "granted";
    } catch (error) {
      if (error instanceof UnderpassError) return error.code;
      throw error;
    }
  }

  /** What an agent's dial and its HELLO do. */
  async arrive(name: string, instance = "a"): Promise<void> {
    expect(await this.claim(name)).toBe("granted");
    await this.store.arrive({ name, owner: "alice", kind: "http", instance, join: false });
    this.names.take(name, "alice", "http", clock.now());
    await this.store.commit(name);
  }

  /** What a visitor's look at the name finds, once it was read. */
  async place(name: string): Promise<string | undefined> {
    if (this.store.looksUp(name)) await turn();
    return this.store.get(name)?.place;
  }
}

/** An entry with one agent, at one relay. */
const at = (relay: string, generation: number, instance = "a") => ({
  agents: [{ instance, generation, relays: [relay] }],
  generation,
});

/** Longer than what was read is believed. */
const later = () => clock.advance(sharedLimits.believedMs);

describe("names of several relays", () => {
  test("who writes first has the name; the other is told that it is taken, and knows whose it is", async () => {
    const [one, other] = [new Process("one"), new Process("other")];
    expect(await Promise.all([one.claim("blue", "alice"), other.claim("blue", "bob")])).toEqual([
      "granted",
      "name-taken",
    ]);
    expect(other.names.lookup("blue")?.owner).toBe("alice");
    expect(other.store.size).toBe(0);
    expect(await other.claim("blue", "bob")).toBe("name-taken");
    expect(await other.claim("blue", "alice")).toBe("granted");
  });

  test("an agent that is at one is elsewhere for the others, until it comes to them", async () => {
    const [one, other] = [new Process("one"), new Process("other")];
    await one.arrive("blue");
    expect(await one.place("blue")).toBe("here");
    expect(await other.place("blue")).toBe("elsewhere");
    expect(other.names.awaitedSince("blue")).toBeUndefined();
    await other.arrive("blue", "b");
    expect(await other.place("blue")).toBe("here");
    later();
    expect(await one.place("blue")).toBe("elsewhere");
    expect(registry.found.get("blue")?.entry).toMatchObject(at("other", 2, "b"));
    // What the one still says of it changes nothing.
    one.names.leave("blue", clock.now(), { bye: true });
    await one.store.commit("blue");
    expect(registry.found.get("blue")?.entry).toMatchObject({ ...at("other", 2, "b"), bye: false });
  });

  test("one that went away is awaited at all of them, unless it said goodbye", async () => {
    const [one, other] = [new Process("one"), new Process("other")];
    await one.arrive("blue");
    await one.arrive("red");
    one.names.leave("blue", clock.now(), { bye: false });
    one.names.leave("red", clock.now(), { bye: true });
    await Promise.all([one.store.commit("blue"), one.store.commit("red")]);
    expect([await other.place("blue"), await other.place("red")]).toEqual(["away", "away"]);
    expect(other.names.awaitedSince("blue")).toBe(clock.now());
    expect(other.names.awaitedSince("red")).toBeUndefined();
  });

  test("those of a relay that drains are awaited, too", async () => {
    const [one, other] = [new Process("one"), new Process("other")];
    await one.arrive("blue");
    one.names.end();
    one.names.leave("blue", clock.now(), { bye: false });
    await one.store.close();
    expect(await other.place("blue")).toBe("away");
    expect(other.names.awaitedSince("blue")).toBe(clock.now());
  });

  test("a relay that begins to end gives them up at once, and what still ends there changes nothing", async () => {
    const [one, other] = [new Process("one"), new Process("other")];
    await one.arrive("blue");
    one.names.end();
    one.store.leave();
    await one.store.commit("blue");
    expect([await other.place("blue"), other.names.awaitedSince("blue")]).toEqual(["away", clock.now()]);
    await other.arrive("blue");
    one.names.leave("blue", clock.now(), { bye: false });
    one.store.sweep(clock.now());
    await one.store.close();
    expect(registry.found.get("blue")?.entry).toMatchObject(at("other", 1));
  });

  test("a relay is believed as long as it says each minute that it is there", async () => {
    const [one, other] = [new Process("one"), new Process("other")];
    await one.arrive("blue");
    for (let minute = 0; minute < 5; minute++) {
      clock.advance(60_000);
      one.store.sweep(clock.now());
      await one.store.commit("blue");
    }
    expect(await other.place("blue")).toBe("elsewhere");
    const lastMs = clock.now();
    clock.advance(aliveMs);
    expect(await other.place("blue")).toBe("away");
    expect(other.names.awaitedSince("blue")).toBe(lastMs);
    expect(await other.claim("blue", "bob")).toBe("name-taken");
    clock.advance(ttlMs);
    expect(await other.claim("blue", "bob")).toBe("granted");
  });

  test("changes of one turn are written together, and what is the same is not written", async () => {
    const one = new Process("one");
    await one.arrive("blue");
    const { writes } = registry;
    await one.arrive("blue");
    expect(registry.writes).toBe(writes);
    one.names.leave("blue", clock.now());
    one.names.take("blue", "alice", "http", clock.now());
    await one.store.commit("blue");
    expect(registry.writes).toBeLessThanOrEqual(writes + 2);
    expect(registry.found.get("blue")?.entry).toMatchObject({ agents: [{ relays: ["one"] }], generation: 2 });
  });

  test("a visitor's look is one read for all who come meanwhile, and is believed for a while", async () => {
    const one = new Process("one");
    expect([one.store.looksUp("blue"), one.store.looksUp("blue")]).toEqual([true, true]);
    await turn();
    expect([registry.reads, one.read]).toEqual([1, ["blue"]]);
    expect(one.store.looksUp("blue")).toBe(false);
    later();
    expect(one.store.looksUp("blue")).toBe(true);
  });

  test("where the registry fails a new name is refused, it is told once, and names that are here go on", async () => {
    const one = new Process("one");
    await one.arrive("blue");
    registry.isBroken = true;
    expect(await one.claim("red")).toBe("registry-unreachable");
    expect(await one.claim("blue")).toBe("granted");
    one.store.sweep(clock.now());
    expect(await one.place("green")).toBeUndefined();
    for (let i = 0; i < 2 * writeLimits.maxChanges; i++) {
      one.names.leave("blue", clock.now());
      one.names.take("blue", "alice", "http", clock.now());
    }
    await turn();
    expect(one.faults).toEqual(["out of reach"]);
    registry.isBroken = false;
    clock.advance(60_000);
    one.store.sweep(clock.now());
    await one.store.commit("blue");
    expect(registry.found.get("blue")?.entry).toMatchObject({
      agents: [{ relays: ["one"] }],
      beatAt: clock.date(),
    });
  });

  test("a registry that says nothing has failed after a while, and what it is asked meanwhile is bounded", async () => {
    const one = new Process("one");
    registry.isSilent = true;
    const { maxUnderWay, maxWaiting, answersWithinMs } = askLimits;
    const names = Array.from({ length: maxUnderWay + maxWaiting + 1 }, (_, i) => `name-${i}`);
    let over = 0;
    const claims = names.map((name) => one.claim(name).finally(() => over++));
    expect(await claims.at(-1)).toBe("registry-unreachable");
    expect([over, registry.reads]).toEqual([1, maxUnderWay]);
    while (over < claims.length) {
      clock.advance(answersWithinMs);
      await turn();
    }
    expect(new Set(await Promise.all(claims))).toEqual(new Set(["registry-unreachable"]));
    expect([one.faults.length, clock.timers]).toEqual([1, 0]);
  });

  test("an agent that comes here after its name became somebody else's does not take it from him", async () => {
    const [one, other] = [new Process("one"), new Process("other")];
    expect(await one.claim("blue", "alice")).toBe("granted");
    clock.advance(ttlMs);
    expect(await other.claim("blue", "bob")).toBe("granted");
    other.names.take("blue", "bob", "http", clock.now());
    await other.store.commit("blue");
    one.names.take("blue", "alice", "http", clock.now());
    expect(await one.store.commit("blue").catch(({ code }) => code)).toBe("name-taken");
    expect(registry.found.get("blue")?.entry).toMatchObject({
      owner: "bob",
      agents: [{ relays: ["other"] }],
    });
  });

  test("names that strangers ask for take a bounded place, and none from those that are here", async () => {
    const one = new Process("one");
    await one.arrive("blue");
    const last = knownLimits.maxOthers;
    for (let i = 0; i <= last; i++) {
      expect(one.store.looksUp(`name-${i}`)).toBe(true);
      if (i % askLimits.maxUnderWay === 0) await turn();
    }
    await turn();
    expect(await one.place("blue")).toBe("here");
    expect([`name-${last}`, "name-0"].map((name) => one.store.looksUp(name))).toEqual([false, true]);
  });
});

test("a pool with agents at two processes is at both of them, with one generation", async () => {
  const [one, other] = [new Process("one"), new Process("other")];
  await one.arrive("blue");
  await other.arrive("blue");
  await one.store.load("blue");
  for (let minute = 0; minute < 5; minute++) {
    for (const process of [one, other]) {
      expect(process.names.keep("blue", "alice")).toBe(true);
      process.names.sweep(clock.now());
      await process.store.commit("blue");
    }
    clock.advance(60_000);
  }
  const agents = [{ instance: "a", generation: 1, relays: ["one", "other"] }];
  expect(registry.found.get("blue")?.entry).toMatchObject({ agents, generation: 1 });
});

test("of a name that can't be read and is not known it is in doubt whether it is anybody's", async () => {
  const one = new Process("one");
  registry.isBroken = true;
  expect(one.store.looksUp("blue")).toBe(true);
  await turn();
  expect(one.store.isInDoubt("blue")).toBe(true);
  const far = new FarTunnels({
    ...{ clock, names: one.store, metrics: { hopsOut: 0 } },
    here: { find: () => undefined, expects: () => false, isHog: () => false },
  });
  expect(far.find("blue")?.refusal).toBe("agent-offline");
  registry.isBroken = false;
  clock.advance(sharedLimits.believedMs);
  expect(one.store.looksUp("blue")).toBe(true);
  await turn();
  expect([one.store.isInDoubt("blue"), far.find("blue")]).toEqual([false, undefined]);
});
