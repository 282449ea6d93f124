import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Tokens } from "../../relay/auth/tokens.ts";
import { loadSecret, makeDatabase, openNames } from "../../relay/runtimes/files.ts";
import { mintToken } from "../../relay/token.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "underpass-files-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

async function codeOf(run: Promise<unknown>): Promise<string> {
  const error = await run.then(() => undefined).catch((caught: unknown) => caught);
  return error instanceof UnderpassError ? error.code : String(error);
}

const options = {
  clock: systemClock,
  process: "this",
  fault: (error: Error) => {
    throw error;
  },
};

describe("the relay's files", () => {
  test("a key is made once, for this user only, in a folder that git ignores", async () => {
    const data = join(folder, "a", "data");
    const first = await loadSecret({ data });
    expect(first.secret.length).toBeGreaterThanOrEqual(32);
    expect(first.source).toBe(`the key file ${join(data, "secret")}`);
    expect(await modeOf(data)).toBe(0o700);
    expect(await modeOf(join(data, "secret"))).toBe(0o600);
    expect(await readFile(join(data, ".gitignore"), "utf8")).toBe("*\n");
    expect(await loadSecret({ data })).toEqual(first);
    expect((await readdir(data)).sort()).toEqual([".gitignore", "secret"]);
  });

  test("many who start at once agree on one key", async () => {
    const data = join(folder, "data");
    const loaded = await Promise.all(Array.from({ length: 20 }, () => loadSecret({ data })));
    expect(new Set(loaded.map(({ secret }) => new TextDecoder().decode(secret))).size).toBe(1);
    expect((await readdir(data)).sort()).toEqual([".gitignore", "secret"]);
  });

  test("a folder that was there keeps its mode and gets no .gitignore", async () => {
    await chmod(folder, 0o755);
    await loadSecret({ data: folder });
    expect(await readdir(folder)).toEqual(["secret"]);
    expect(await modeOf(folder)).toBe(0o755);
  });

  test("a key file of one's own is read and nothing is made", async () => {
    const secretFile = join(folder, "key.txt");
    await writeFile(secretFile, `${"k".repeat(32)}\n`);
    const loaded = await loadSecret({ secretFile, data: join(folder, "data") });
    expect(loaded.secret).toEqual(new TextEncoder().encode("k".repeat(32)));
    expect(loaded.source).toContain(secretFile);
    expect(await readdir(folder)).toEqual(["key.txt"]);
  });

  test("the key in UNDERPASS_SECRET is used, and its place is named rather than the key", async () => {
    const loaded = await loadSecret({ secretText: "k".repeat(32), data: join(folder, "data") });
    expect(loaded.source).toBe("UNDERPASS_SECRET");
    expect(await readdir(folder)).toEqual([]);
  });

  test("a key that is too short is refused, wherever it came from", async () => {
    await writeFile(join(folder, "secret"), "short\n");
    expect(await codeOf(loadSecret({ data: folder }))).toBe("secret-invalid");
    expect(await codeOf(loadSecret({ secretFile: join(folder, "secret"), data: folder }))).toBe(
      "secret-invalid",
    );
    expect(await codeOf(loadSecret({ secretText: "short", data: folder }))).toBe("secret-invalid");
  });

  test("a key file that is not there is bad usage", async () => {
    expect(await codeOf(loadSecret({ secretFile: join(folder, "none"), data: folder }))).toBe("usage");
  });

  test("a data folder that can't be made, or holds a folder in the key's place, is data-unwritable", async () => {
    await writeFile(join(folder, "file"), "");
    expect(await codeOf(loadSecret({ data: join(folder, "file") }))).toBe("data-unwritable");
    expect(await codeOf(loadSecret({ data: join(folder, "file", "data") }))).toBe("data-unwritable");
    await mkdir(join(folder, "secret"));
    expect(await codeOf(loadSecret({ data: folder }))).toBe("data-unwritable");
  });

  test("names are kept in the data folder, for this user only", async () => {
    const data = join(folder, "data");
    const names = await openNames({ data, dataAsked: false }, options);
    if (typeof names === "string") throw new Error(names);
    names.update("blue", () => ({ owner: "o", kind: "http", place: "here", bye: false, lapsesAtMs: 1 }));
    const made = await readdir(data);
    expect(made.sort()).toEqual([".gitignore", "names.sqlite", "names.sqlite-shm", "names.sqlite-wal"]);
    for (const file of made) expect(await modeOf(join(data, file))).toBe(0o600);
    names.close();
    names.close();
    expect(names.get("blue")).toBeUndefined();
    expect((await readdir(data)).sort()).toEqual([".gitignore", "names.sqlite"]);
  });

  test("a SQLite file is there whole, in its last mode, or not at all: relays that start at once share one", async () => {
    const path = join(folder, "some.sqlite");
    await Promise.all(Array.from({ length: 20 }, () => makeDatabase(path)));
    expect(await readdir(folder)).toEqual(["some.sqlite"]);
    expect(await modeOf(path)).toBe(0o600);
    // SQLite's file format, offset 18: 2 is WAL.
    expect((await readFile(path)).subarray(18, 20)).toEqual(Buffer.from([2, 2]));
    const { ino } = await stat(path);
    await makeDatabase(path);
    expect((await stat(path)).ino).toBe(ino);
  });

  test("names that can't be kept end a relay whose key is there or that was told where; another goes on", async () => {
    const data = join(folder, "file");
    await writeFile(data, "");
    const secretText = "k".repeat(32);
    expect(await codeOf(openNames({ data, dataAsked: false }, options))).toBe("data-unwritable");
    expect(await codeOf(openNames({ data, dataAsked: true, secretText }, options))).toBe("data-unwritable");
    const why = await openNames({ data, dataAsked: false, secretText }, options);
    expect(why).toContain(`Names can't be kept in ${join(data, "names.sqlite")}`);
  });

  test("a file of names that is damaged, or of a newer version, is said to be", async () => {
    await writeFile(join(folder, "names.sqlite"), "no database".repeat(100));
    expect(await codeOf(openNames({ data: folder, dataAsked: true }, options))).toBe("data-unwritable");
    await rm(join(folder, "names.sqlite"));
    const newer = new DatabaseSync(join(folder, "names.sqlite"));
    newer.exec("PRAGMA user_version = 99");
    newer.close();
    const told = openNames({ data: folder, dataAsked: true }, options);
    expect(await told.catch((error: Error) => error.message)).toContain("newer version");
  });

  test("token prints one JWT that the same key verifies, and says with which key on the other side", async () => {
    const data = join(folder, "data");
    const loaded = await loadSecret({ data });
    const { stdout, stderr } = await mintToken(
      { subject: "alice", ttlMs: 86_400_000, data },
      loaded,
      1_800_000_000_000,
    );
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect((await new Tokens(loaded.secret).verify(stdout.trim(), 1_800_000_000_000)).subject).toBe("alice");
    expect(stderr).toBe(
      `Token for alice, valid until 2027-01-16 08:00 UTC, made with the key file ${join(data, "secret")}.\n`,
    );
  });
});
