import { describe, expect, test } from "bun:test";
import { Endpoints, type PortRange } from "../../relay/endpoints.ts";
import { Names } from "../../relay/names.ts";
import { Suspended } from "../../relay/suspended.ts";
import { Tunnels } from "../../relay/tunnels.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { turn } from "../shared/driver-bench.ts";

const windowMs = 60_000;
const memory = new Memory(2 ** 24);

class SetUp {
  readonly clock = new VirtualClock();
  readonly names: Names;
  readonly endpoints: Endpoints;
  /** `kind port name` of what is open. */
  readonly open = new Set<string>();
  /** Ports that another program has. */
  readonly foreign = new Set<number>();
  /** Several may open the same port, as with --reuse-port. */
  shares = false;
  /** A port is open once this has resolved; absent: at once. */
  binding: Promise<void> | undefined;
  /** `kind name` of tunnels with an agent. */
  readonly served = new Set<string>();
  /** What comes of a name's changes where relays share names. */
  commit: (name: string) => Promise<void> = async () => {};
  draws = 0;

  constructor(tcp: PortRange | undefined = { low: 7_000, high: 7_004 }, udp?: PortRange) {
    const { clock } = this;
    const random = (bytes: Uint8Array<ArrayBuffer>) => bytes.fill(0, 0, 3).fill(this.draws++ % 256, 3);
    this.names = new Names({ ttlMs: 3_600_000, maxNames: 100, random });
    const tunnels = new Tunnels(this.names, {
      memory,
      suspended: new Suspended(memory),
      resumeWindowMs: windowMs,
    });
    Object.assign(tunnels, {
      find: (name: string) => ({ serves: (kind: string) => this.served.has(`${kind} ${name}`) }),
    });
    this.endpoints = new Endpoints({
      ...{ clock, random, names: this.names, tunnels, ranges: { tcp, udp } },
      commit: (name) => this.commit(name),
      bind: async (kind, port, name) => {
        if (this.binding !== undefined) await this.binding;
        if (this.foreign.has(port)) throw new UnderpassError("port-in-use");
        const key = `${kind} ${port} ${name}`;
        for (const other of this.open)
          if (!this.shares && other.startsWith(`${kind} ${port} `)) throw new UnderpassError("port-in-use");
        this.open.add(key);
        return { close: () => void this.open.delete(key) };
      },
    });
  }

  async reserve(
    name: string,
    options: { owner?: string; kind?: "tcp" | "udp"; port?: number } = {},
  ): Promise<number> {
    const { owner = "me", kind = "tcp", port } = options;
    this.names.claim(name, owner, kind, this.clock.now());
    return await this.endpoints.reserve(name, owner, kind, port);
  }

  async refusal(attempt: Promise<unknown>): Promise<string> {
    try {
      await attempt;
    } catch (error) {
      if (error instanceof UnderpassError) return error.code;
    }
    return "none";
  }
}

describe("a public port", () => {
  test("that is asked for is given, opened, and given again to the same name", async () => {
    const all = new SetUp();
    expect(await all.reserve("blue", { port: 7_003 })).toBe(7_003);
    expect([...all.open]).toEqual(["tcp 7003 blue"]);
    expect(await all.reserve("blue")).toBe(7_003);
    expect(all.open.size).toBe(1);
  });

  test("that nobody asked for is a random free one, never one that somebody or another program has", async () => {
    const all = new SetUp();
    all.foreign.add(7_001);
    const given = new Set<number>();
    for (const name of ["a", "b", "c", "d"]) given.add(await all.reserve(name));
    expect([...given].sort()).toEqual([7_000, 7_002, 7_003, 7_004]);
    expect(await all.refusal(all.reserve("e"))).toBe("port-taken");
  });

  test("outside the relay's range, or of a kind that it has none for, is refused", async () => {
    const all = new SetUp();
    expect(await all.refusal(all.reserve("blue", { port: 6_999 }))).toBe("port-forbidden");
    expect(await all.refusal(all.reserve("blue", { port: 7_005 }))).toBe("port-forbidden");
    expect(await all.refusal(all.reserve("blue", { kind: "udp" }))).toBe("kind-unavailable");
  });

  test("of somebody else, or of another program, is taken", async () => {
    const all = new SetUp();
    await all.reserve("blue", { port: 7_000 });
    expect(await all.refusal(all.reserve("red", { owner: "you", port: 7_000 }))).toBe("port-taken");
    expect(() => all.endpoints.nameAt("tcp", 7_000, "you")).toThrow();
    all.foreign.add(7_001);
    expect(await all.refusal(all.reserve("green", { port: 7_001 }))).toBe("port-taken");
    expect(all.names.portOf("green", "tcp")).toBeUndefined();
  });

  test("means its tunnel to its owner: an agent that lost its name finds it again", async () => {
    const all = new SetUp();
    await all.reserve("blue", { port: 7_000 });
    expect(all.endpoints.nameAt("tcp", 7_000, "me")).toBe("blue");
    expect(all.endpoints.nameAt("tcp", 7_001, "me")).toBeUndefined();
    expect(all.endpoints.nameAt("udp", 7_000, "me")).toBeUndefined();
  });

  test("moves to another name of its owner where no agent is under the first, and not while one is", async () => {
    const all = new SetUp();
    await all.reserve("blue", { port: 7_000 });
    all.names.take("blue", "me", "tcp", 0);
    expect(await all.refusal(all.reserve("red", { port: 7_000 }))).toBe("port-taken");
    all.names.leave("blue", 0);
    expect(await all.reserve("red", { port: 7_000 })).toBe(7_000);
    expect([...all.open]).toEqual(["tcp 7000 red"]);
    expect(all.names.portOf("blue", "tcp")).toBeUndefined();
  });

  test("that a name has left for another is free, though its agents are here", async () => {
    const all = new SetUp();
    await all.reserve("blue", { port: 7_000 });
    all.served.add("tcp blue");
    await all.reserve("blue", { port: 7_001 });
    expect(await all.reserve("red", { owner: "you", port: 7_000 })).toBe(7_000);
    expect([...all.open]).toEqual(["tcp 7001 blue", "tcp 7000 red"]);
  });

  test("is the same number for tcp and for udp, for two names", async () => {
    const range = { low: 7_000, high: 7_000 };
    const all = new SetUp(range, range);
    await all.reserve("blue");
    await all.reserve("red", { kind: "udp" });
    expect([...all.open].sort()).toEqual(["tcp 7000 blue", "udp 7000 red"]);
  });

  test("goes with the kind: a name that carries something else has lost it", async () => {
    const all = new SetUp();
    await all.reserve("blue");
    all.names.claim("blue", "me", "http", 0);
    expect(all.names.portOf("blue", "tcp")).toBeUndefined();
    expect(all.endpoints.nameAt("tcp", 7_000, "me")).toBeUndefined();
  });

  test("is closed a minute after the reservation where no agent came, and opened again with its agent", async () => {
    const all = new SetUp();
    const port = await all.reserve("blue");
    all.clock.advance(50_000);
    expect(all.open.size).toBe(1);
    all.clock.advance(20_000);
    expect([all.open.size, all.clock.timers]).toEqual([0, 0]);
    await all.endpoints.open("blue", "me", "tcp");
    expect([...all.open]).toEqual([`tcp ${port} blue`]);
  });

  test("stays open while an agent that was lost is expected back", async () => {
    const all = new SetUp();
    await all.reserve("blue");
    all.names.take("blue", "me", "tcp", 0);
    all.clock.advance(100_000);
    all.names.leave("blue", all.clock.now());
    await all.endpoints.open("blue", "me", "tcp");
    all.clock.advance(windowMs - 5_000);
    expect(all.open.size).toBe(1);
    all.clock.advance(70_000);
    expect(all.open.size).toBe(0);
  });

  test("stays open where another that is asked for instead is taken", async () => {
    const all = new SetUp();
    await all.reserve("blue", { port: 7_000 });
    all.names.take("blue", "me", "tcp", 0);
    all.foreign.add(7_001);
    await all.reserve("red", { owner: "you", port: 7_002 });
    for (const port of [7_001, 7_002])
      expect(await all.refusal(all.reserve("blue", { port }))).toBe("port-taken");
    expect([...all.open].sort()).toEqual(["tcp 7000 blue", "tcp 7002 red"]);
    expect(all.names.portOf("blue", "tcp")).toBe(7_000);
    expect(await all.reserve("blue", { port: 7_003 })).toBe(7_003);
    expect([...all.open].sort()).toEqual(["tcp 7002 red", "tcp 7003 blue"]);
  });

  test("that is open is still the name's where the store has lost it", async () => {
    const all = new SetUp();
    await all.reserve("blue", { port: 7_003 });
    all.names.dropPort("blue", 7_003);
    expect(await all.reserve("blue")).toBe(7_003);
    expect(all.names.portOf("blue", "tcp")).toBe(7_003);
    expect([...all.open]).toEqual(["tcp 7003 blue"]);
  });

  test("stays open for the agents that are here when the name is claimed for another kind, and is nobody else's", async () => {
    const range = { low: 7_000, high: 7_001 };
    const all = new SetUp(range, range);
    await all.reserve("blue", { port: 7_000 });
    all.served.add("tcp blue");
    await all.reserve("blue", { kind: "udp", port: 7_001 });
    expect([...all.open].sort()).toEqual(["tcp 7000 blue", "udp 7001 blue"]);
    expect(await all.refusal(all.reserve("red", { owner: "you", port: 7_000 }))).toBe("port-taken");
    // It was refused, and the first agent's next link comes.
    expect(await all.reserve("blue")).toBe(7_000);
    // It was not, and the first agent has left.
    await all.reserve("blue", { kind: "udp" });
    all.served.clear();
    all.served.add("udp blue");
    all.clock.advance(70_000);
    expect(all.open.size).toBe(1);
    expect(await all.reserve("red", { owner: "you", port: 7_000 })).toBe(7_000);
  });

  test("is opened once, however many links ask for it at once", async () => {
    const all = new SetUp();
    all.names.claim("blue", "me", "tcp", 0);
    const ports = await Promise.all(
      [1, 2, 3, 4].map(() => all.endpoints.reserve("blue", "me", "tcp", undefined)),
    );
    expect(new Set(ports).size).toBe(1);
    expect(all.open.size).toBe(1);
  });

  test("is one name's at a time where processes share ports, too: of two that open it at once, who has agents", async () => {
    for (const [served, stays] of [
      ["tcp none", "tcp 7000 red"],
      ["tcp blue", "tcp 7000 blue"],
    ] as const) {
      const all = new SetUp();
      all.shares = true;
      const bound = Promise.withResolvers<void>();
      all.binding = bound.promise;
      const blue = all.reserve("blue", { port: 7_000 });
      await turn();
      all.served.add(served);
      const red = all.refusal(all.reserve("red", { port: 7_000 }));
      await turn();
      bound.resolve();
      expect([await blue, await red]).toEqual([7_000, served === "tcp blue" ? "port-taken" : "none"]);
      expect([...all.open]).toEqual([stays]);
    }
  });

  test("is not opened any more once the relay has closed them all", async () => {
    const all = new SetUp();
    await all.reserve("blue");
    all.endpoints.close();
    expect([all.open.size, all.clock.timers]).toEqual([0, 0]);
    expect(await all.refusal(all.reserve("red"))).toBe("going-away");
    expect(all.open.size).toBe(0);
  });
});

describe("a relay that was restarted", () => {
  test("opens the ports of agents that it expects back, and of no others", async () => {
    const all = new SetUp();
    for (const name of ["here", "bye", "never"]) await all.reserve(name);
    for (const name of ["here", "bye"]) all.names.take(name, "me", "tcp", 0);
    all.names.end();
    all.names.leave("here", 0);
    all.names.leave("bye", 0, { bye: true });
    all.endpoints.close();
    const { names, clock } = all;
    const tunnels = new Tunnels(names, {
      memory,
      suspended: new Suspended(memory),
      resumeWindowMs: windowMs,
    });
    const opened: string[] = [];
    const next = new Endpoints({
      ...{ clock, names, tunnels, random: (bytes) => bytes, ranges: { tcp: { low: 7_000, high: 7_004 } } },
      bind: async (_kind, port, name) => {
        opened.push(`${port} ${name}`);
        return { close() {} };
      },
    });
    await next.inherit();
    expect(opened).toEqual([`${names.portOf("here", "tcp")} here`]);
  });

  test("leaves a name the port that the process before it still has open, and takes no other for it", async () => {
    const all = new SetUp();
    await all.reserve("blue", { port: 7_003 });
    all.names.take("blue", "me", "tcp", 0);
    all.names.end();
    all.names.leave("blue", 0);
    all.endpoints.close();
    const { names, clock } = all;
    const suspended = new Suspended(new Memory(2 ** 24));
    const tunnels = new Tunnels(names, { memory, suspended, resumeWindowMs: windowMs });
    let isTaken = true;
    const next = new Endpoints({
      ...{ clock, names, tunnels, random: (bytes) => bytes, ranges: { tcp: { low: 7_000, high: 7_004 } } },
      bind: async () => {
        if (isTaken) throw new UnderpassError("port-in-use");
        return { close() {} };
      },
    });
    await next.inherit();
    expect(names.portOf("blue", "tcp")).toBe(7_003);
    isTaken = false;
    expect(await next.reserve("blue", "me", "tcp", undefined)).toBe(7_003);
  });
});

describe("a public port that relays share", () => {
  test("which another relay gave away meanwhile, is not opened: the name gets another", async () => {
    const all = new SetUp();
    all.commit = async (name) => {
      if (all.names.portOf(name, "tcp") === 7_003) all.names.dropPort(name, 7_003);
    };
    expect(await all.refusal(all.reserve("blue", { port: 7_003 }))).toBe("port-taken");
    expect([...all.open]).toEqual([]);
    expect(await all.reserve("blue")).not.toBe(7_003);
  });

  test("is nobody's while that can't be written, and what the name had stays", async () => {
    const all = new SetUp();
    await all.reserve("blue", { port: 7_000 });
    all.commit = async () => {
      throw new UnderpassError("registry-unreachable");
    };
    expect(await all.refusal(all.reserve("blue", { port: 7_003 }))).toBe("registry-unreachable");
    expect([all.names.portOf("blue", "tcp"), [...all.open]]).toEqual([7_000, ["tcp 7000 blue"]]);
    // What is open and the name's needs no write.
    expect(await all.reserve("blue")).toBe(7_000);
  });

  test("is open as soon as its agents are told to be anywhere, and closed when they are not", async () => {
    const all = new SetUp();
    all.names.claim("blue", "me", "tcp", 0);
    all.names.givePort("blue", "tcp", 7_002, 0);
    all.endpoints.told("blue");
    expect(all.open.size).toBe(0);
    all.served.add("tcp blue");
    all.endpoints.told("blue");
    all.endpoints.told("blue");
    await Promise.resolve();
    expect([...all.open]).toEqual(["tcp 7002 blue"]);
    all.served.delete("tcp blue");
    all.clock.advance(70_000);
    expect([all.open.size, all.clock.timers]).toEqual([0, 0]);
  });

  test("that another program has here is opened when that is gone", async () => {
    const all = new SetUp();
    all.names.claim("blue", "me", "tcp", 0);
    all.names.givePort("blue", "tcp", 7_002, 0);
    all.served.add("tcp blue");
    all.foreign.add(7_002);
    all.endpoints.told("blue");
    for (let tries = 0; tries < 3; tries++) {
      await turn();
      all.clock.advance(5_000);
    }
    expect(all.open.size).toBe(0);
    all.foreign.clear();
    await turn();
    all.clock.advance(5_000);
    await turn();
    expect([...all.open]).toEqual(["tcp 7002 blue"]);
    all.endpoints.close();
    expect(all.clock.timers).toBe(0);
  });

  test("goes with the name that has it now, also where another had it here before", async () => {
    const all = new SetUp();
    await all.reserve("blue", { port: 7_000 });
    all.names.dropPort("blue", 7_000);
    all.names.claim("red", "me", "tcp", 0);
    all.names.givePort("red", "tcp", 7_000, 0);
    all.served.add("tcp red");
    all.endpoints.told("red");
    await Promise.resolve();
    expect([...all.open]).toEqual(["tcp 7000 red"]);
  });
});
