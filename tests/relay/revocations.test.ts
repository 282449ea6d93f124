import { afterAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownerOf } from "../../relay/auth/claims.ts";
import { isRevoked, Tokens } from "../../relay/auth/tokens.ts";
import { SqliteRevocations } from "../../relay/runtimes/sqlite-revocations.ts";
import { MemoryRevocations } from "../../relay/stores/memory-revocations.ts";

const folder = await mkdtemp(join(tmpdir(), "underpass-revocations-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

const path = join(folder, "revocations.sqlite");
await writeFile(path, "");

describe.each([
  ["memory", () => new MemoryRevocations()],
  ["SQLite", () => new SqliteRevocations(path)],
] as const)("revocations in %s", (_, open) => {
  test("are of one owner, and never taken back by an earlier one", () => {
    const revocations = open();
    expect(revocations.revokedUntil("alice")).toBeUndefined();
    revocations.revoke("alice", 5_000);
    revocations.revoke("alice", 4_000);
    expect(revocations.revokedUntil("alice")).toBe(5_000);
    expect(revocations.revokedUntil("bob")).toBeUndefined();
    expect([revocations.size, revocations.all()]).toEqual([1, [{ owner: "alice", untilMs: 5_000 }]]);
  });
});

test("another process that shares the file knows of them", () => {
  const [one, other] = [new SqliteRevocations(path), new SqliteRevocations(path)];
  one.revoke("carol", 1);
  expect(other.revokedUntil("carol")).toBe(1);
  one.close();
  expect(() => one.revokedUntil("carol")).toThrow();
  other.close();
});

test("a token is refused that was issued up to then, and one of later is not", async () => {
  const revocations = new MemoryRevocations();
  const tokens = new Tokens(new Uint8Array(32).fill(7), revocations);
  const grant = { subject: "alice", ttlMs: 3_600_000 };
  const mint = (atMs: number) => tokens.mint(grant, atMs);
  const [before, after] = [await mint(10_000), await mint(12_000)];
  const claims = await tokens.verify(before, 20_000);
  revocations.revoke(ownerOf(claims), 11_500);
  expect(tokens.verify(before, 20_000)).rejects.toThrow("The token was revoked.");
  expect((await tokens.verify(after, 20_000)).subject).toBe("alice");
  expect([isRevoked(claims, 11_500), isRevoked(claims, 9_999), isRevoked(claims, undefined)]).toEqual([
    ...[true, false, false],
  ]);
});
