import { beforeEach, expect, test } from "bun:test";
import fc from "fast-check";
import { Names } from "../../relay/names.ts";
import { claimLimits } from "../../relay/stores/port-claims.ts";
import { SharedNames } from "../../relay/stores/shared-names.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { turn } from "../shared/driver-bench.ts";
import { MemoryRegistry, WatchedRegistry } from "./memory-registry.ts";

const ttlMs = 3_600_000;
const port = 20_000;

let store: MemoryRegistry;
beforeEach(() => {
  store = new MemoryRegistry();
});

/** A relay of a cluster, as far as public ports go. */
class Relay {
  readonly registry = new WatchedRegistry(store);
  readonly clock: VirtualClock;
  readonly shared: SharedNames;
  readonly names: Names;

  constructor(process: string, { offMs = 0 } = {}) {
    this.clock = new VirtualClock({ dateMs: Date.UTC(2026, 10, 21) + offMs });
    this.shared = new SharedNames({
      ...{ registry: this.registry, clock: this.clock, process, ttlMs, fault() {}, isAlive: () => true },
    });
    const random = (bytes: Uint8Array<ArrayBuffer>) => crypto.getRandomValues(bytes);
    this.names = new Names({ ttlMs, maxNames: 100, random }, this.shared);
  }

  /** The port that the name has then. */
  async give(name: string, wanted = port): Promise<number | undefined> {
    this.names.claim(name, "me", "tcp", this.clock.now());
    this.names.givePort(name, "tcp", wanted, this.clock.now());
    await this.shared.commit(name);
    return this.names.portOf(name, "tcp");
  }

  /** Has claimed the port for the name, and goes no further until it is told to. */
  async claims(name: string): Promise<() => Promise<number | undefined>> {
    this.registry.isSlow = true;
    const given = this.give(name);
    while (store.claims.size === 0) {
      this.registry.step();
      await turn(1);
    }
    return () => this.goesOn(given);
  }

  goesOn<T>(given: Promise<T>): Promise<T> {
    this.registry.isSlow = false;
    while (this.registry.step());
    return given;
  }

  async sweeps(): Promise<void> {
    this.clock.advance(ttlMs);
    this.shared.sweep(this.clock.now());
    await turn(8);
  }
}

/** In which order two relays go on; true: the first. */
const steps = fc.array(fc.boolean(), { maxLength: 40 });
const seed = 20_261_122;

async function mix(one: Relay, two: Relay, order: readonly boolean[]): Promise<void> {
  for (const isFirst of order) {
    (isFirst ? one : two).registry.step();
    await turn(1);
  }
}

const pair = (facts = {}) => [new Relay("one", facts), new Relay("two")] as const;
const withPort = () => [...store.found].filter(([, { entry }]) => entry.port === port).map(([name]) => name);
const claimed = () => [...store.claims.values()].map(({ name }) => name);

test("a public port is one name's at all relays, also where two give it away at once", async () => {
  const [one, two] = pair();
  expect(await Promise.all([one.give("blue"), two.give("red")])).toEqual([port, undefined]);
  await turn();
  for (const { shared } of [one, two]) expect(shared.holder("tcp", port)).toBe("blue");
  expect(await two.give("red", port + 1)).toBe(port + 1);
});

test.each([-120_000, 120_000])(
  "who claims it first gets it, though its date is off by %p ms",
  async (offMs) => {
    const [one, two] = pair({ offMs });
    const goesOn = await one.claims("blue");
    expect(await two.give("red")).toBeUndefined();
    expect([await goesOn(), withPort()]).toEqual([port, ["blue"]]);
  },
);

test("one that was claimed, and never written, is free for who has seen so for a while", async () => {
  const [one, two] = pair();
  await one.claims("blue");
  expect(await two.give("red")).toBeUndefined();
  two.clock.advance(claimLimits.holdsMs - 1);
  expect(await two.give("red")).toBeUndefined();
  two.clock.advance(1);
  expect([await two.give("red"), withPort(), claimed()]).toEqual([port, ["red"], ["red"]]);
});

test("a relay that stood still between claim and entry does not give it a second time", async () => {
  const [one, two] = pair();
  const goesOn = await one.claims("blue");
  await two.give("red");
  two.clock.advance(claimLimits.holdsMs);
  expect(await two.give("red")).toBe(port);
  expect([await goesOn(), withPort(), claimed()]).toEqual([undefined, ["red"], ["red"]]);
});

test("nor does one that goes on while it is taken over, whatever comes first", async () => {
  const given = new Set<string>();
  await fc.assert(
    fc.asyncProperty(steps, async (order) => {
      store = new MemoryRegistry();
      const [one, two] = pair();
      const goesOn = await one.claims("blue");
      await two.give("red");
      two.clock.advance(claimLimits.holdsMs);
      two.registry.isSlow = true;
      const second = two.give("red");
      await mix(one, two, order);
      const ports = [await two.goesOn(second), await goesOn()];
      await turn();
      expect(withPort()).toEqual(["red", "blue"].filter((_, i) => ports[i] === port));
      expect(claimed()).toEqual(withPort());
      given.add(withPort().join());
    }),
    { seed, numRuns: 500 },
  );
  expect([...given].sort()).toEqual(["blue", "red"]);
});

test("nor does one that is cut off before it has renewed its claim, and comes back", async () => {
  const given = new Set<string>();
  await fc.assert(
    fc.asyncProperty(steps, async (order) => {
      store = new MemoryRegistry();
      const [one, two] = pair();
      const goesOn = await one.claims("blue");
      await two.give("red");
      two.clock.advance(claimLimits.holdsMs);
      two.registry.isSlow = true;
      const second = two.give("red");
      await mix(one, two, order);
      one.registry.cut();
      const first = goesOn().catch(() => undefined);
      await two.goesOn(second);
      await first;
      given.add(withPort().sort().join());
      one.registry.heal();
      await turn();
      expect(withPort().length).toBe(1);
      expect(claimed()).toEqual(withPort());
    }),
    { seed, numRuns: 500 },
  );
  // Both had it in their entries for as long as one was cut off.
  expect([...given]).toContain("blue,red");
});

test("one that a name gives up stays claimed where another relay gives it again meanwhile", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (order) => {
      store = new MemoryRegistry();
      const [one, two] = pair();
      await one.give("blue");
      one.registry.isSlow = true;
      one.names.dropPort("blue", port);
      while (withPort().length > 0) {
        one.registry.step();
        await turn(1);
      }
      two.registry.isSlow = true;
      const second = two.give("blue");
      await mix(one, two, order);
      expect(await two.goesOn(second)).toBe(port);
      await one.goesOn(turn());
      expect([withPort(), claimed()]).toEqual([["blue"], ["blue"]]);
    }),
    { seed, numRuns: 300 },
  );
});

test("one that two relays claim again for its name, as the registry lost it, stays the name's", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (order) => {
      store = new MemoryRegistry();
      const [one, two] = pair();
      await one.give("blue");
      for (const { registry } of [one, two]) registry.isSlow = true;
      store.empty();
      await mix(one, two, order);
      for (const relay of [one, two]) await relay.goesOn(turn());
      expect([withPort(), claimed()]).toEqual([["blue"], ["blue"]]);
    }),
    { seed, numRuns: 300 },
  );
});

test("it is the name's whose entry says so, though nobody was told of it yet", async () => {
  const [one, two] = pair();
  two.registry.isLate = true;
  expect(await one.give("blue")).toBe(port);
  expect(await two.give("red")).toBeUndefined();
  two.clock.advance(claimLimits.holdsMs);
  expect([await two.give("red"), withPort()]).toEqual([undefined, ["blue"]]);
});

test("it is free again with its name, and claimed again where the registry lost it", async () => {
  const [one, two] = pair();
  await one.give("blue");
  store.empty();
  await turn();
  expect([claimed(), withPort()]).toEqual([["blue"], ["blue"]]);
  await two.sweeps();
  expect([store.claims.size, store.found.size]).toEqual([0, 0]);
  expect(await two.give("red")).toBe(port);
});
