import { beforeEach, describe, expect, test } from "bun:test";
import { ownerOf } from "../../relay/auth/claims.ts";
import { maxAgents } from "../../relay/cluster/registry.ts";
import { askLimits } from "../../relay/stores/registry-asks.ts";
import { SharedNames } from "../../relay/stores/shared-names.ts";
import { writeHello } from "../../shared/handshake.ts";
import { pingText } from "../../shared/liveness.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { turn } from "../shared/driver-bench.ts";
import { MemoryRegistry, WatchedRegistry } from "./memory-registry.ts";
import { Desk, type HelloFacts, helloOf, instance } from "./reception-desk.ts";

const ttlMs = 3_600_000;
const owner = (subject: string) => ownerOf({ issuer: "underpass", subject });

let store: MemoryRegistry;
let clock: VirtualClock;
let dead: Set<string>;
beforeEach(() => {
  store = new MemoryRegistry();
  clock = new VirtualClock();
  dead = new Set();
});

/** A relay of a cluster, as far as agents go. */
class Relay {
  readonly registry = new WatchedRegistry(store);
  readonly faults: string[] = [];
  readonly shared: SharedNames;
  readonly desk: Desk;

  constructor(process: string) {
    this.shared = new SharedNames({
      ...{ registry: this.registry, clock, process, ttlMs },
      fault: ({ message }) => void this.faults.push(message),
      isAlive: (relay) => !dead.has(relay),
    });
    this.desk = new Desk({ clock, shared: this.shared });
  }

  call(facts: HelloFacts = {}) {
    return this.desk.call(facts);
  }
}

const entryOf = (name = "blue") => store.found.get(name)?.entry;
const pair = () => [new Relay("one"), new Relay("two")] as const;

describe("agents of several relays", () => {
  test("have one generation at all of them, with one write for each relay that they come to", async () => {
    const [one, two] = pair();
    const first = await one.call();
    const { writes } = store;
    const more = [await one.call({ slot: 1 }), await two.call({ slot: 2 })];
    expect(store.writes).toBe(writes + 1);
    expect(more.map(({ welcome }) => welcome.generation)).toEqual([1, 1]);
    expect(first.welcome.generation).toBe(1);
    expect([one.shared.relaysOf("blue"), two.shared.relaysOf("blue")]).toEqual([["two"], ["one"]]);
    // It leaves one of them with its last session there.
    first.link.breaks();
    more[0]?.link.breaks();
    clock.advance(59_000);
    await turn();
    expect(entryOf()?.agents).toMatchObject([{ relays: expect.arrayContaining(["one"]) }]);
    clock.advance(2_000);
    await turn();
    expect(entryOf()?.agents.flatMap(({ relays }) => relays)).not.toContain("one");
  });

  test("are superseded at all of them by a newer one, and refused while it is there", async () => {
    const [one, two] = pair();
    const old = await one.call();
    old.told();
    const newer = await two.call({ instance: instance("b") });
    await turn();
    expect(newer.welcome.generation).toBe(2);
    expect(old.told()).toMatchObject([{ record: "GOAWAY", kind: "drain", code: "superseded" }]);
    for (const relay of [one, two])
      expect((await relay.call({ slot: 1, attempt: 5 })).refusal).toBe("superseded");
    clock.advance(61_000);
    expect((await two.call({ slot: 1, attempt: 6 })).welcome.generation).toBe(3);
  });

  test("are refused by a relay, too, which learns of the newer one only as it writes", async () => {
    const [one, two] = pair();
    await one.call();
    two.registry.isLate = true;
    await one.call({ instance: instance("b") });
    expect((await two.call({ slot: 1, attempt: 5 })).refusal).toBe("superseded");
    expect(entryOf()).toMatchObject({ exclusive: 2, agents: [{ instance: instance("b") }] });
  });

  test("come again where another of their links was lost meanwhile, as nobody has superseded them", async () => {
    const [one] = pair();
    one.registry.isSlow = true;
    const [[first], [second]] = [await one.desk.dial(), await one.desk.dial()];
    first.link.comes(writeHello(helloOf({ slot: 0 })));
    second.link.comes(writeHello(helloOf({ slot: 1 })));
    await turn();
    first.link.breaks();
    one.registry.isSlow = false;
    while (one.registry.step());
    await turn();
    expect(second.refusal).toBe("registry-unreachable");
    expect((await one.call({ slot: 1, attempt: 2 })).refusal).toBeUndefined();
  });

  test("share the name where they join, wherever they are", async () => {
    const [one, two] = pair();
    const old = await one.call();
    old.told();
    expect((await two.call({ instance: instance("b"), join: true })).welcome.generation).toBe(2);
    const other = await two.call({ instance: instance("c"), join: true, kind: "private" });
    await turn();
    expect([old.told(), other.refusal, entryOf()?.exclusive]).toEqual([[], "kind-forbidden", 1]);
  });

  test("keep their generation over the end of their relay, so that none of them supersedes another", async () => {
    const [one, two] = pair();
    await one.call();
    await one.call({ instance: instance("b"), join: true });
    one.desk.draining = true;
    one.desk.names.end();
    for (const { driver } of [...one.desk.tunnels.sessions()]) driver.close("going-away");
    await one.shared.close();
    expect(two.desk.names.awaitedSince("blue")).toBe(clock.now());
    // One that has not seen any of it.
    const three = new Relay("three");
    const back = [await three.call(), await two.call({ instance: instance("b"), join: true })];
    expect(back.map(({ welcome }) => welcome.generation)).toEqual([1, 2]);
    await turn();
    expect(entryOf()).toMatchObject({ exclusive: 1, generation: 2 });
  });

  test("of a relay that died are awaited from then on, and gone from the registry some time later", async () => {
    const [one, two] = pair();
    await one.call();
    expect(two.desk.names.lookup("blue")).toMatchObject({ live: false });
    expect(two.desk.names.awaitedSince("blue")).toBeUndefined();
    one.registry.cut();
    dead.add("one");
    const told: string[] = [];
    const { watcher } = two.shared;
    if (watcher !== undefined) two.shared.watcher = { ...watcher, changed: (name) => void told.push(name) };
    two.shared.nodeDied("one");
    expect([told, two.desk.names.awaitedSince("blue"), two.shared.relaysOf("blue")]).toEqual([
      ["blue"],
      clock.now(),
      [],
    ]);
    const diedMs = clock.now();
    clock.advance(60_000);
    two.shared.sweep(clock.now());
    await turn();
    expect(entryOf()).toMatchObject({ bye: false, leftAt: clock.date() - 60_000, agents: [{ relays: [] }] });
    expect(two.desk.names.awaitedSince("blue")).toBe(diedMs);
    clock.advance(ttlMs);
    two.shared.sweep(clock.now());
    await turn();
    expect(entryOf()).toBeUndefined();
  });
});

describe("a registry that can't be reached", () => {
  test("refuses what needs a write, and nothing else", async () => {
    const [one] = pair();
    await one.call();
    one.registry.cut();
    expect((await one.call({ slot: 1 })).welcome.generation).toBe(1);
    expect((await one.call({ instance: instance("b") })).refusal).toBe("registry-unreachable");
    expect(await one.desk.refusalOf(one.desk.dial({ name: "red" }))).toBe("registry-unreachable");
    one.registry.heal();
    expect((await one.call({ name: "red" })).refusal).toBeUndefined();
  });

  test("that answers too late has refused: the agent that it was written for all the same is taken out again", async () => {
    const [one] = pair();
    one.registry.isSlow = true;
    const [caller] = await one.desk.dial();
    caller.link.comes(writeHello(helloOf({})));
    await turn();
    one.registry.step();
    await turn();
    clock.advance(askLimits.answersWithinMs);
    await turn();
    one.registry.isSlow = false;
    while (one.registry.step());
    await turn();
    expect(caller.refusal).toBe("registry-unreachable");
    expect([entryOf()?.agents, one.desk.metrics.sessions]).toEqual([[], 0]);
  });

  test("before it has told all names makes dials wait, and visitors", async () => {
    const late = { ...new WatchedRegistry(store) };
    let begin = () => {};
    const registry = Object.assign(Object.create(WatchedRegistry.prototype), late, {
      watch: (watcher: Parameters<WatchedRegistry["watch"]>[0]) => {
        begin = () => WatchedRegistry.prototype.watch.call(registry, watcher);
      },
    });
    const shared = new SharedNames({
      registry,
      clock,
      process: "late",
      ttlMs,
      fault() {},
      isAlive: () => true,
    });
    const told: string[] = [];
    shared.watcher = { changed: (name) => void told.push(name), fenced() {} };
    expect([shared.looksUp("blue"), shared.isInDoubt("blue")]).toEqual([true, true]);
    const refused = shared.load("blue").catch(({ code }) => code);
    clock.advance(askLimits.answersWithinMs);
    expect(await refused).toBe("registry-unreachable");
    const waiting = shared.load("blue");
    begin();
    await waiting;
    expect([shared.looksUp("blue"), shared.isInDoubt("blue"), told]).toEqual([false, false, ["blue"]]);
  });

  test("and came back empty has again what relays have, with the generations as they were", async () => {
    const [one, two] = pair();
    await one.call();
    await one.call({ instance: instance("b") });
    await two.call({ name: "red" });
    two.desk.names.claim("green", owner("me"), "http", clock.now());
    await two.shared.commit("green");
    store.empty();
    await turn();
    expect(entryOf()).toMatchObject({ exclusive: 2, agents: [{ generation: 2, relays: ["one"] }] });
    expect(entryOf("red")).toMatchObject({ exclusive: 1, agents: [{ generation: 1, relays: ["two"] }] });
    expect(entryOf("green")).toMatchObject({ owner: owner("me"), agents: [] });
    expect(await two.call({ token: "you" }).catch(({ code }) => code)).toBe("name-taken");
    // What was given before and not told here is below.
    expect((await two.call({ instance: instance("c") })).welcome.generation).toBeGreaterThan(1_000);
  });
});

describe("a relay that was cut off", () => {
  test("does not say it a second time, and says what fails once it is back", async () => {
    const [one] = pair();
    one.registry.isSlow = true;
    const [caller] = await one.desk.dial();
    caller.link.comes(writeHello(helloOf({})));
    await turn();
    one.registry.cut();
    one.registry.isSlow = false;
    while (one.registry.step());
    await turn();
    expect([caller.refusal, one.faults]).toEqual(["registry-unreachable", []]);
    store.isBroken = true;
    one.registry.heal();
    for (const name of ["red", "green"])
      expect((await one.call({ name })).refusal).toBe("registry-unreachable");
    expect(one.faults).toEqual(["out of reach"]);
  });

  test("finds its sessions superseded by who came meanwhile, and those put back that were taken for dead", async () => {
    const [one, two] = pair();
    const [blue, red] = [await one.call(), await one.call({ name: "red" })];
    one.registry.cut();
    dead.add("one");
    await two.call({ instance: instance("b") });
    await two.call({ name: "red", instance: instance("b"), join: true });
    expect(entryOf("red")?.agents).toMatchObject([{ relays: [] }, { relays: ["two"] }]);
    for (const caller of [blue, red]) caller.told();
    dead.clear();
    one.registry.heal();
    await turn();
    expect(blue.told()).toMatchObject([{ code: "superseded" }]);
    expect(red.told()).toEqual([]);
    expect(entryOf("red")?.agents).toMatchObject([
      { generation: 1, relays: ["one"] },
      { generation: 2, relays: ["two"] },
    ]);
  });

  test("for longer than names are kept, finds that the name is another agent's, who counted anew", async () => {
    const [one, two] = pair();
    one.desk.tokenMs = 10 * ttlMs;
    await one.call({ instance: instance("x") });
    const old = await one.call();
    old.told();
    one.registry.cut();
    dead.add("one");
    two.shared.nodeDied("one");
    for (let left = 60_000 + ttlMs; left >= 0; left -= 10_000) {
      clock.advance(10_000);
      old.link.says(pingText);
      two.shared.sweep(clock.now());
      await turn(0);
    }
    expect(entryOf()).toBeUndefined();
    const newer = await two.call({ instance: instance("b") });
    expect(newer.welcome.generation).toBeLessThan(old.welcome.generation);
    dead.clear();
    one.registry.heal();
    await turn();
    expect([old.told().at(-1), newer.told()]).toMatchObject([{ code: "superseded" }, []]);
    expect(entryOf()?.agents).toMatchObject([{ instance: instance("b"), relays: ["two"] }]);
  });

  test("puts no more agents back than an entry holds", async () => {
    const [one, two] = pair();
    const join = async (relay: Relay, from: number) => {
      for (let i = from; i < from + 40; i++)
        expect(
          (await relay.call({ instance: `agent-${i}`.padEnd(16, "-"), join: true })).refusal,
        ).toBeUndefined();
    };
    await join(one, 0);
    one.registry.cut();
    dead.add("one");
    await join(two, 40);
    dead.clear();
    one.registry.heal();
    await turn();
    const agents = entryOf()?.agents ?? [];
    expect(agents.length).toBe(maxAgents);
    expect(agents.filter(({ relays }) => relays.includes("two")).length).toBe(40);
    expect(one.desk.tunnels.sessionsOf("blue").length).toBe(40);
    const { writes } = store;
    for (const { shared } of [one, two]) shared.sweep(clock.now());
    await turn();
    expect(store.writes).toBe(writes);
  });

  test("says goodbye for those who left meanwhile", async () => {
    const [one, two] = pair();
    const caller = await one.call();
    one.registry.cut();
    caller.says({
      ...{ record: "GOAWAY", kind: "bye", code: "goodbye", lastStream: 0, graceMs: 0, reason: "" },
    });
    caller.link.breaks();
    await turn();
    expect(two.shared.relaysOf("blue")).toEqual(["one"]);
    one.registry.heal();
    await turn();
    expect([two.shared.relaysOf("blue"), entryOf()?.bye]).toEqual([[], true]);
  });
});
