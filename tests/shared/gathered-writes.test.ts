import { expect, test } from "bun:test";
import fc from "fast-check";
import { GatheredWrites, type SystemEnd } from "../../shared/runtimes/gathered-writes.ts";

/** A socket of its own: what the system got of it, write by write. */
class Writer implements SystemEnd {
  readonly got: Uint8Array[] = [];
  readonly writes = new GatheredWrites(this);
  readonly said: number[] = [];
  /** What else happens inside the next call. */
  meanwhile: (() => void) | undefined;

  toSystem(bytes: Uint8Array, length: number): void {
    const { meanwhile } = this;
    this.meanwhile = undefined;
    meanwhile?.();
    this.got.push(bytes.slice(0, length));
  }

  get heard(): number[] {
    return this.got.flatMap((bytes) => [...bytes]);
  }
}

test("sockets that write in turn keep what is theirs, whole and in order", async () => {
  const size = fc.oneof(fc.nat(40), fc.constantFrom(16_383, 16_384, 16_385, 65_536));
  const step = fc.tuple(fc.nat(2), size, fc.constantFrom("go on", "flush", "wait"));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const writers = [new Writer(), new Writer(), new Writer()];
      let next = 0;
      for (const [who, length, then] of steps) {
        const writer = writers[who] ?? new Writer();
        const bytes = Uint8Array.from({ length }, () => next++);
        writer.said.push(...bytes);
        writer.writes.add(bytes);
        // A small write is copied: the caller may do with it what he likes.
        if (length < 16_384) bytes.fill(0);
        if (then === "flush") writer.writes.flush();
        if (then === "wait") await Promise.resolve();
      }
      await Promise.resolve();
      for (const { heard, said } of writers) expect(heard).toEqual(said);
    }),
    { seed: 1, numRuns: 100 },
  );
});

test("what one socket writes in a turn leaves as one piece", async () => {
  const one = new Writer();
  const other = new Writer();
  for (const text of ["head", "body"]) one.writes.add(new TextEncoder().encode(text));
  other.writes.add(new Uint8Array(3));
  expect([one.got.length, other.got.length]).toEqual([1, 0]);
  await Promise.resolve();
  expect([one.got.length, other.got.length]).toEqual([1, 1]);
});

test("what was dropped never leaves, and takes nobody else's bytes along", async () => {
  const one = new Writer();
  const other = new Writer();
  one.writes.add(new Uint8Array(5));
  one.writes.drop();
  other.writes.add(new Uint8Array(3));
  one.writes.drop();
  await Promise.resolve();
  expect([one.heard.length, other.heard.length]).toEqual([0, 3]);
});

test("a write from inside another's stays with its own socket", async () => {
  const [one, other, third] = [new Writer(), new Writer(), new Writer()];
  one.writes.add(Uint8Array.of(1, 1, 1));
  one.meanwhile = () => third.writes.add(Uint8Array.of(3, 3));
  other.writes.add(Uint8Array.of(2));
  await Promise.resolve();
  expect([one.heard, other.heard, third.heard]).toEqual([[1, 1, 1], [2], [3, 3]]);
});
