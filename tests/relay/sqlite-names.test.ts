import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Names } from "../../relay/names.ts";
import { SqliteNames } from "../../relay/runtimes/sqlite-names.ts";
import { UnderpassError } from "../../shared/errors.ts";

const ttlMs = 3_600_000;
const random = (bytes: Uint8Array<ArrayBuffer>) => crypto.getRandomValues(bytes);
/** The date; each process of a relay has a clock that begins at another time. */
let dateMs: number;
let folder: string;
let path: string;
let started: number;
const open: SqliteNames[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "underpass-sqlite-"));
  path = join(folder, "names.sqlite");
  dateMs = 1_800_000_000_000;
  started = 0;
});
afterEach(async () => {
  for (const file of open.splice(0)) file.close();
  await rm(folder, { recursive: true, force: true });
});

/** A relay process, as far as names go. */
class Process {
  readonly startedMs: number;
  readonly faults: string[] = [];
  readonly names: Names;
  readonly store: SqliteNames;
  readonly #bootedAtMs = dateMs - 1_000 * ++started;

  constructor(options: { readonly maxNames?: number } = {}) {
    this.store = new SqliteNames(path, {
      clock: { now: () => this.now, date: () => dateMs },
      process: `process ${started}`,
      fault: (error) => this.faults.push(error.message),
    });
    open.push(this.store);
    this.names = new Names({ ttlMs, random, maxNames: 100, ...options }, this.store);
    this.startedMs = this.now;
    this.names.inherit(this.now);
  }

  get now(): number {
    return dateMs - this.#bootedAtMs;
  }

  /** An agent of this owner comes. */
  arrive(name: string, owner = "alice"): void {
    this.names.take(name, owner, "http", this.now);
  }

  leave(name: string, bye: boolean): void {
    this.names.leave(name, this.now, { bye });
  }

  /** SIGTERM: its agents are cut off at the end. */
  drain(...names: string[]): void {
    this.names.end();
    for (const name of names) this.leave(name, false);
    this.store.close();
  }

  /** What becomes of the claim of another owner. */
  claimOf(owner: string, name: string): string {
    try {
      return this.names.claim(name, owner, "http", this.now);
    } catch (error) {
      if (error instanceof UnderpassError) return error.code;
      throw error;
    }
  }
}

describe("a public port that two processes give away at once", () => {
  test("stays with the name that was written first, whose row is nobody else's business", () => {
    const one = new Process();
    const other = new Process();
    one.names.claim("blue", "alice", "tcp", one.now);
    other.names.claim("red", "bob", "tcp", other.now);
    expect(one.names.givePort("blue", "tcp", 7_000, one.now)).toBe(true);
    // What `givePort` does once it has seen that the port is nobody's, which it was a moment ago.
    const kept = other.store.update("red", (row) => row && { ...row, port: 7_000 });
    expect(kept?.port).toBeUndefined();
    expect(other.names.lookup("blue")?.owner).toBe("alice");
    expect(other.names.lookup("red")?.owner).toBe("bob");
    expect(one.names.portOf("blue", "tcp")).toBe(7_000);
  });
});

describe("names over a restart", () => {
  test("a name stays its owner's, for the ttl after its agent left: the time between processes counts", () => {
    const old = new Process();
    old.arrive("blue");
    old.leave("blue", false);
    const leftAtDateMs = dateMs;
    old.drain();
    dateMs += ttlMs - 1;
    const next = new Process();
    expect(next.names.lookup("blue")).toMatchObject({ owner: "alice", kind: "http", live: false });
    expect(next.names.lookup("blue")?.leftAtMs).toBe(next.now - (dateMs - leftAtDateMs));
    expect(next.claimOf("bob", "blue")).toBe("name-taken");
    dateMs += 1;
    expect(next.claimOf("bob", "blue")).toBe("blue");
    expect(next.names.lookup("blue")?.owner).toBe("bob");
  });

  test("an agent that was here when the process was killed is awaited since the start of the next", () => {
    const old = new Process();
    old.arrive("blue");
    dateMs += 2 * ttlMs;
    const next = new Process();
    expect(next.names.lookup("blue")).toEqual({
      owner: "alice",
      kind: "http",
      live: false,
      leftAtMs: next.startedMs,
      bye: false,
    });
    dateMs += 5_000;
    expect(next.names.awaitedSince("blue")).toBe(next.now - 5_000);
    dateMs += ttlMs - 5_001;
    expect(next.claimOf("bob", "blue")).toBe("name-taken");
    dateMs += 1;
    expect(next.names.sweep(next.now)).toBe(1);
    expect(next.claimOf("bob", "blue")).toBe("blue");
  });

  test("so is one that a process cut off as it drained, but not one that said goodbye", () => {
    const old = new Process();
    for (const name of ["blue", "red", "green"]) old.arrive(name);
    old.leave("red", true);
    dateMs += 1_000;
    old.drain("blue");
    dateMs += 20_000;
    const next = new Process();
    expect(next.names.awaitedSince("blue")).toBe(next.startedMs);
    expect(next.names.awaitedSince("red")).toBeUndefined();
    expect(next.names.lookup("red")).toMatchObject({ bye: true, leftAtMs: next.startedMs - 21_000 });
    next.arrive("blue");
    expect(next.names.lookup("blue")?.live).toBe(true);
  });

  test("a name that was only asked for is kept ten minutes, be the process another", () => {
    new Process().names.claim("blue", "alice", "http", 2_000);
    const next = new Process();
    expect(next.names.awaitedSince("blue")).toBeUndefined();
    dateMs += 599_000;
    expect(next.claimOf("bob", "blue")).toBe("name-taken");
    dateMs += 2_000;
    expect(next.claimOf("bob", "blue")).toBe("blue");
  });

  test("bounds count the names of earlier processes, too", () => {
    const old = new Process({ maxNames: 2 });
    old.arrive("blue");
    old.arrive("red");
    old.leave("red", true);
    const next = new Process({ maxNames: 2 });
    expect(next.names.size).toBe(2);
    expect(next.claimOf("bob", "green")).toBe("too-many-requests");
    dateMs += ttlMs;
    next.arrive("blue");
    expect(next.claimOf("bob", "green")).toBe("green");
    expect([next.store.countOf("alice"), next.store.countOf("bob"), next.names.size]).toEqual([1, 1, 2]);
  });
});

describe("names of two processes at once", () => {
  test("what one gives away the other knows at once", () => {
    const [old, next] = [new Process(), new Process()];
    old.arrive("blue");
    expect(next.claimOf("bob", "blue")).toBe("name-taken");
    expect(next.names.lookup("blue")).toMatchObject({ live: false, bye: false, leftAtMs: next.startedMs });
    next.names.claim("red", "bob", "http", next.now);
    expect(old.claimOf("alice", "red")).toBe("name-taken");
    expect(old.names.size).toBe(2);
  });

  test("an old process that loses an agent does not take away what the new one has", () => {
    const [old, next] = [new Process(), new Process()];
    old.arrive("blue");
    next.arrive("blue");
    old.leave("blue", true);
    expect(next.names.lookup("blue")?.live).toBe(true);
    old.drain("blue");
    expect(next.names.lookup("blue")?.live).toBe(true);
    expect(new Process().names.lookup("blue")).toMatchObject({ live: false, bye: false });
  });

  test("a goodbye at the old one is known at the new one", () => {
    const old = new Process();
    old.arrive("blue");
    const successor = new Process();
    expect(successor.names.awaitedSince("blue")).toBe(successor.startedMs);
    old.names.end();
    old.leave("blue", true);
    expect(successor.names.awaitedSince("blue")).toBeUndefined();
  });

  test("an old process that lives on keeps the names of its agents, however long", () => {
    const old = new Process();
    old.arrive("blue");
    const next = new Process();
    for (let minute = 0; minute < 3 * 60; minute++) {
      dateMs += 60_000;
      next.names.sweep(next.now);
      old.names.sweep(old.now);
      expect(next.claimOf("bob", "blue")).toBe("name-taken");
    }
    expect(old.names.lookup("blue")?.live).toBe(true);
  });

  test("asking again for a name whose agents are elsewhere leaves it there", () => {
    const [old, next] = [new Process(), new Process()];
    old.arrive("blue");
    next.names.claim("blue", "alice", "http", next.now);
    expect(old.names.lookup("blue")?.live).toBe(true);
    old.leave("blue", true);
    expect(next.names.awaitedSince("blue")).toBeUndefined();
  });
});

describe("a file that can't be written", () => {
  test("leaves known names to their owners, refuses new ones, and is told once until it can be again", () => {
    const relay = new Process();
    relay.arrive("blue");
    relay.leave("blue", false);
    const disk = new DatabaseSync(path);
    for (const [i, event] of ["INSERT", "UPDATE"].entries())
      disk.exec(`CREATE TRIGGER full${i} BEFORE ${event} ON names BEGIN SELECT RAISE(ABORT, 'full'); END`);
    relay.arrive("blue");
    relay.leave("blue", true);
    expect(relay.claimOf("bob", "blue")).toBe("name-taken");
    expect(relay.claimOf("alice", "red")).toBe("internal-error");
    expect(relay.faults).toEqual(["full"]);
    disk.exec("DROP TRIGGER full0; DROP TRIGGER full1");
    disk.close();
    relay.arrive("red");
    expect(relay.names.lookup("red")?.live).toBe(true);
  });
});

const source = (name: string) => JSON.stringify(join(import.meta.dir, "../../relay", name));
const program = (body: string) => `
  import { Names } from ${source("names.ts")};
  import { SqliteNames } from ${source("runtimes/sqlite-names.ts")};
  const clock = { now: () => performance.now(), date: () => Date.now() };
  const fault = (error) => { throw error; };
  const store = new SqliteNames(process.argv[1], { clock, process: crypto.randomUUID(), fault });
  const random = (bytes) => crypto.getRandomValues(bytes);
  const names = new Names({ ttlMs: 3_600_000, random, maxNames: 10_000 }, store);
  ${body}
`;

async function run(body: string, ...args: string[]): Promise<string> {
  const child = Bun.spawn([process.execPath, "-e", program(body), path, ...args], { stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  await child.exited;
  return text;
}

describe("names of real processes", () => {
  test("what was told to an agent is kept when the process is killed with -9 right after", async () => {
    const told = await run(`
      names.take("blue", "alice", "http", clock.now());
      process.stdout.write("told");
      process.kill(process.pid, "SIGKILL");
    `);
    expect(told).toBe("told");
    const next = new Process();
    expect(next.claimOf("bob", "blue")).toBe("name-taken");
    expect(next.names.awaitedSince("blue")).toBe(next.startedMs);
  });

  test("processes that race for the same names, from the making of the file on, never share one", async () => {
    const owners = ["alice", "bob", "carol", "dave"];
    const race = `
      const owner = process.argv[2];
      for (let i = 0; i < 300; i++) {
        try {
          process.stdout.write(names.claim("name-" + i, owner, "http", clock.now()) + "\\n");
        } catch (error) {
          if (error.code !== "name-taken") throw error;
        }
      }
    `;
    const texts = await Promise.all(owners.map((owner) => run(race, owner)));
    const granted = texts.map((text) => text.split("\n").filter((line) => line !== ""));
    expect(granted.flat()).toHaveLength(300);
    expect(new Set(granted.flat()).size).toBe(300);
    const { names } = new Process();
    for (const [i, own] of granted.entries())
      for (const name of own) expect(names.lookup(name)?.owner).toBe(owners[i]);
  });
});
