import { describe, expect, test } from "bun:test";
import { maxRevocations, type Revocation } from "../../relay/auth/revocations.ts";
import { MemoryRevocations } from "../../relay/stores/memory-revocations.ts";
import { SharedRevocations } from "../../relay/stores/shared-revocations.ts";
import { MemoryRevoked } from "../cluster/memory-revoked.ts";

function relayAt(registry: MemoryRevoked, own = new MemoryRevocations()) {
  const [way, faults, told] = [registry.way(), [] as Error[], [] as Revocation[]];
  const revocations = new SharedRevocations({ registry: way, own, fault: (error) => faults.push(error) });
  revocations.watch((revocation) => told.push(revocation));
  return { way, own, revocations, faults, told };
}

/** As many turns as a way that answers at once needs. */
async function settled(registry: MemoryRevoked, size: number): Promise<void> {
  while (registry.dates.size < size) await Promise.resolve();
}

describe("revocations of several relays", () => {
  test("one that was made at a relay holds at all, and each is told once", async () => {
    const registry = new MemoryRevoked();
    const [a, b] = [relayAt(registry), relayAt(registry)];
    await a.revocations.revoke("alice", 5_000);
    for (const { revocations, told } of [a, b]) {
      expect(revocations.revokedUntil("alice")).toBe(5_000);
      expect(told).toEqual([{ owner: "alice", untilMs: 5_000 }]);
    }
    expect(b.revocations.revokedUntil("bob")).toBeUndefined();
  });

  test("an earlier date takes nothing back, anywhere", async () => {
    const registry = new MemoryRevoked();
    const [a, b] = [relayAt(registry), relayAt(registry)];
    await a.revocations.revoke("alice", 5_000);
    await b.revocations.revoke("alice", 4_000);
    expect(registry.dates.get("alice")).toBe(5_000);
    for (const { revocations, told } of [a, b])
      expect([revocations.revokedUntil("alice"), told.length]).toEqual([5_000, 1]);
  });

  test("out of reach, one is refused and nothing of it is kept; what is known holds", async () => {
    const registry = new MemoryRevoked();
    const [a, b] = [relayAt(registry), relayAt(registry)];
    await a.revocations.revoke("alice", 5_000);
    b.way.break();
    await expect(b.revocations.revoke("bob", 6_000)).rejects.toMatchObject({ code: "registry-unreachable" });
    expect(b.revocations.revokedUntil("alice")).toBe(5_000);
    expect(b.revocations.revokedUntil("bob")).toBeUndefined();
    expect(b.told.length).toBe(1);
    await a.revocations.revoke("carol", 7_000);
    expect(b.revocations.revokedUntil("carol")).toBeUndefined();
    b.way.mend();
    expect(b.revocations.revokedUntil("carol")).toBe(7_000);
    expect(b.told.map(({ owner }) => owner)).toEqual(["alice", "carol"]);
  });

  test("a registry that lost all is given what each relay knows, and what it has is not written again", async () => {
    const registry = new MemoryRevoked();
    const [a, b] = [relayAt(registry), relayAt(registry)];
    for (const [index, owner] of ["alice", "bob", "carol"].entries())
      await a.revocations.revoke(owner, index);
    b.way.break();
    registry.dates.clear();
    registry.dates.set("bob", 1);
    const { puts } = b.way;
    b.way.mend();
    await settled(registry, 3);
    expect(Object.fromEntries(registry.dates)).toEqual({ alice: 0, bob: 1, carol: 2 });
    expect(b.way.puts - puts).toBe(2);
  });

  test("what a relay knew before it was one of several is told to the others", async () => {
    const registry = new MemoryRevoked();
    const a = relayAt(registry);
    const own = new MemoryRevocations();
    own.revoke("alice", 5_000);
    relayAt(registry, own);
    await settled(registry, 1);
    expect(a.told).toEqual([{ owner: "alice", untilMs: 5_000 }]);
  });

  test("a registry that goes out of reach again while it is told what it lacks says so itself", async () => {
    const registry = new MemoryRevoked();
    const own = new MemoryRevocations();
    for (const [index, owner] of ["alice", "bob", "carol"].entries()) own.revoke(owner, index);
    const { way, faults } = relayAt(registry, own);
    way.break();
    for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    expect([registry.dates.size, faults]).toEqual([1, []]);
    way.mend();
    await settled(registry, 3);
    expect(faults).toEqual([]);
  });

  test("one that this relay can't keep ends what goes on all the same", () => {
    const registry = new MemoryRevoked();
    const own = new MemoryRevocations();
    own.revoke = () => {
      throw new Error("the disk is full");
    };
    const { way, told, faults } = relayAt(registry, own);
    way.tell({ owner: "alice", untilMs: 5_000 });
    expect([told.length, faults.map(({ message }) => message)]).toEqual([1, ["the disk is full"]]);
  });

  test("above the bound none is written, but for owners that have one", async () => {
    const registry = new MemoryRevoked();
    const own = new MemoryRevocations();
    const { revocations } = relayAt(registry, own);
    for (let count = 0; count < maxRevocations; count++) own.revoke(`owner ${count}`, 1);
    await expect(revocations.revoke("alice", 5_000)).rejects.toMatchObject({ code: "too-many-requests" });
    expect(registry.dates.size).toBe(0);
    await revocations.revoke("owner 7", 5_000);
    expect(revocations.revokedUntil("owner 7")).toBe(5_000);
  });
});
