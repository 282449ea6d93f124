import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { adjectives, nouns } from "human-id";
import { isName, Names, type NamesOptions } from "../../relay/names.ts";
import { SqliteNames } from "../../relay/runtimes/sqlite-names.ts";
import type { NameStore } from "../../relay/store.ts";
import { MemoryNames } from "../../relay/stores/memory-names.ts";
import { SharedNames } from "../../relay/stores/shared-names.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { MemoryRegistry } from "./memory-registry.ts";

const ttlMs = 3_600_000;
const random = (bytes: Uint8Array<ArrayBuffer>) => crypto.getRandomValues(bytes);

const folder = mkdtempSync(join(tmpdir(), "underpass-names-"));
const files: SqliteNames[] = [];
afterAll(() => {
  for (const file of files) file.close();
  rmSync(folder, { recursive: true, force: true });
});

function inAFile(): NameStore {
  const file = new SqliteNames(join(folder, `${files.length}.sqlite`), {
    clock: { now: () => 1_000, date: () => 1_800_000_000_000 },
    process: "this",
    fault: (error) => {
      throw error;
    },
  });
  files.push(file);
  return file;
}

/** What others write is in shared-names.test.ts. */
function ofSeveral(): NameStore {
  const [registry, clock] = [new MemoryRegistry(), new VirtualClock()];
  return new SharedNames({ registry, clock, process: "this", ttlMs, fault: () => {} });
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof UnderpassError) return error.code;
    throw error;
  }
  return "none";
}

const stores: readonly [string, () => NameStore][] = [
  ["in memory", () => new MemoryNames()],
  ["in a file", inAFile],
  ["of several relays", ofSeveral],
];

describe.each(stores)("names %s", (_, store) => {
  const make = (more: Partial<NamesOptions> = {}) =>
    new Names({ ttlMs, random, maxNames: 100, ...more }, store());

  test.each([
    ["a", true],
    ["0", true],
    ["blue-1", true],
    ["a".repeat(63), true],
    ["a".repeat(64), false],
    ["", false],
    ["-a", false],
    ["a-", false],
    ["Blue", false],
    ["a_b", false],
    ["a.b", false],
    ["a\n", false],
    ["ä", false],
  ])("%p is a name: %p", (text, valid) => {
    expect(isName(text)).toBe(valid);
    expect(codeOf(() => make().claim(text, "o", "http", 0))).toBe(valid ? "none" : "name-invalid");
  });

  test("a name belongs to who came first, and stays his while his agents are away", () => {
    const names = make();
    expect(names.claim("blue", "alice", "http", 0)).toBe("blue");
    expect(codeOf(() => names.claim("blue", "bob", "http", 0))).toBe("name-taken");
    names.take("blue", "alice", "http", 1_000);
    expect(names.lookup("blue")).toMatchObject({ owner: "alice", kind: "http", live: true });
    names.leave("blue", 5_000);
    expect(names.lookup("blue")).toMatchObject({ live: false, leftAtMs: 5_000 });
    expect(codeOf(() => names.claim("blue", "bob", "http", 5_000 + ttlMs - 1))).toBe("name-taken");
    expect(names.lookup("blue")?.owner).toBe("alice");
    expect(names.claim("blue", "bob", "http", 5_000 + ttlMs)).toBe("blue");
    expect(names.lookup("blue")?.owner).toBe("bob");
  });

  test("a name with an agent never lapses", () => {
    const names = make();
    names.claim("blue", "alice", "http", 0);
    names.take("blue", "alice", "http", 0);
    expect(names.sweep(ttlMs * 1000)).toBe(0);
    expect(names.lookup("blue")?.live).toBe(true);
  });

  test("leaving twice, or a name that is not there, changes nothing", () => {
    const names = make();
    names.leave("blue", 0);
    expect(names.lookup("blue")).toBeUndefined();
    names.claim("blue", "alice", "http", 0);
    names.take("blue", "alice", "http", 0);
    names.leave("blue", 10);
    names.leave("blue", 500);
    expect(names.lookup("blue")?.leftAtMs).toBe(10);
  });

  test("an agent that was lost is awaited since then, until one is here again; one that said goodbye is not", () => {
    const names = make();
    expect(names.awaitedSince("blue")).toBeUndefined();
    names.claim("blue", "alice", "http", 0);
    expect(names.awaitedSince("blue")).toBeUndefined();
    names.take("blue", "alice", "http", 0);
    expect(names.awaitedSince("blue")).toBeUndefined();
    names.leave("blue", 10, { bye: false });
    expect(names.awaitedSince("blue")).toBe(10);
    expect(names.lookup("blue")).toMatchObject({ live: false, leftAtMs: 10, bye: false });
    names.claim("blue", "alice", "http", 15);
    expect(names.awaitedSince("blue")).toBe(10);
    names.take("blue", "alice", "http", 20);
    expect(names.lookup("blue")).toEqual({ owner: "alice", kind: "http", live: true });
    names.leave("blue", 30, { bye: true });
    expect(names.lookup("blue")).toMatchObject({ live: false, leftAtMs: 30, bye: true });
    expect(names.awaitedSince("blue")).toBeUndefined();
  });

  test("an agent that this process cuts off as it ends is awaited; one that says goodbye meanwhile is not", () => {
    const names = make();
    for (const name of ["blue", "red"]) {
      names.claim(name, "alice", "http", 0);
      names.take(name, "alice", "http", 0);
    }
    names.end();
    names.leave("blue", 2_000, { bye: false });
    names.leave("red", 2_000, { bye: true });
    expect(names.lookup("blue")).toMatchObject({ live: false, leftAtMs: 2_000, bye: false });
    expect(names.awaitedSince("red")).toBeUndefined();
    expect(codeOf(() => names.claim("blue", "bob", "http", 1_999 + ttlMs))).toBe("name-taken");
    expect(names.sweep(2_000 + ttlMs)).toBe(2);
  });

  test("its owner claims it again at once, with another kind too, while an old agent seems to be there", () => {
    const names = make();
    names.claim("blue", "alice", "http", 0);
    names.take("blue", "alice", "http", 0);
    expect(names.claim("blue", "alice", "tcp", 1)).toBe("blue");
    expect(names.lookup("blue")).toMatchObject({ kind: "tcp", live: true });
  });

  test("a name that was only asked for is kept ten minutes, and for longer when it is asked for again", () => {
    const names = make();
    names.claim("blue", "alice", "http", 0);
    names.claim("red", "alice", "http", 0);
    names.claim("blue", "alice", "http", 300_000);
    expect(names.sweep(599_999)).toBe(0);
    expect(names.sweep(600_000)).toBe(1);
    expect(names.lookup("red")).toBeUndefined();
    expect(names.sweep(900_000)).toBe(1);
    expect(names.size).toBe(0);
  });

  test("sweeping recycles what has lapsed and nothing else, in whatever order agents left", () => {
    const names = make();
    for (const name of ["a", "b", "c"]) {
      names.claim(name, "alice", "http", 0);
      names.take(name, "alice", "http", 0);
    }
    names.leave("c", 1);
    names.leave("a", 2);
    names.leave("b", 3);
    names.take("c", "alice", "http", 4);
    names.leave("c", 5);
    expect(names.sweep(ttlMs + 2)).toBe(1);
    expect(names.lookup("a")).toBeUndefined();
    expect(names.sweep(ttlMs + 4)).toBe(1);
    expect(names.lookup("c")).toBeDefined();
  });

  test("there are never more than allowed, of one owner or in all, and recycling makes room", () => {
    const names = make({ maxNames: 3, maxNamesPerOwner: 2 });
    names.claim("a", "alice", "http", 0);
    names.claim("b", "alice", "http", 0);
    expect(codeOf(() => names.claim("c", "alice", "http", 0))).toBe("too-many-requests");
    expect(names.claim("a", "alice", "http", 0)).toBe("a");
    names.claim("c", "bob", "http", 0);
    expect(codeOf(() => names.claim("d", "carol", "http", 0))).toBe("too-many-requests");
    expect(names.size).toBe(3);
    expect(names.claim("d", "carol", "http", 600_000)).toBe("d");
    expect(names.claim("e", "alice", "http", 600_000)).toBe("e");
  });

  test("nobody owns a name without an owner", () => {
    expect(codeOf(() => make().claim("blue", "", "http", 0))).toBe("unauthorized");
  });

  test("a random name is a name, has two words and a suffix, and at least 40 random bits", () => {
    const names = make({ maxNames: 2_000 });
    const seen = new Set<string>();
    for (let i = 0; i < 1_000; i++) {
      const name = names.claim(undefined, "alice", "http", 0);
      expect(name).toMatch(/^[a-z]+-[a-z]+-[0-9a-hjkmnp-tv-z]{5}$/);
      expect(isName(name)).toBe(true);
      seen.add(name);
    }
    expect(seen.size).toBe(1_000);
    expect(new Set([...adjectives, ...nouns].filter((word) => !/^[a-z]{2,20}$/.test(word))).size).toBe(0);
    const bits = Math.log2(new Set(adjectives).size) + Math.log2(new Set(nouns).size) + 5 * 5;
    expect(bits).toBeGreaterThanOrEqual(40);
  });

  test("a random name that is taken is drawn again, and a broken source of randomness ends in an error", () => {
    const names = make({ random: (bytes) => bytes.fill(0) });
    names.claim(undefined, "alice", "http", 0);
    expect(codeOf(() => names.claim(undefined, "alice", "http", 0))).toBe("too-many-requests");
    const stuck = make({ random: (bytes) => bytes.fill(255) });
    expect(codeOf(() => stuck.claim(undefined, "alice", "http", 0))).toBe("internal-error");
  });
});
