import { expect, test } from "bun:test";
import fc from "fast-check";
import { RecordType } from "../../shared/mux/frame.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { type Item, SendQueue } from "../../shared/mux/send-queue.ts";

const sizes = fc.oneof(fc.nat(20), fc.integer({ min: 1_000, max: 1_050 }), fc.nat(5_000));

test("what was pushed comes out in order, whatever was gathered, and what is counted is what is kept", () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ does: fc.constant("data" as const), size: sizes }),
      fc.record({ does: fc.constant("head" as const), size: sizes }),
      fc.record({ does: fc.constant("take" as const), size: sizes }),
    ),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const memory = new Memory(0);
      const queue = new SendQueue(memory);
      const pushed: number[] = [];
      const taken: number[] = [];
      let value = 0;
      for (const { does, size } of all) {
        const bytes = new Uint8Array(size).fill(++value);
        if (does === "data") queue.pushData(bytes);
        if (does === "head") queue.push({ type: RecordType.head, bytes });
        if (does !== "take") pushed.push(...bytes);
        const first = queue.peek();
        if (does !== "take" || first === undefined) continue;
        const part = first.type === RecordType.data && size < first.bytes.length;
        taken.push(...(part ? first.bytes.subarray(0, size) : first.bytes));
        if (part) queue.cut(first, size);
        else queue.shift();
        let bytesLeft = 0;
        for (let i = 0; i < queue.length; i++) bytesLeft += queue.at(i)?.bytes.length ?? 0;
        expect(queue.bytes).toBe(bytesLeft);
        expect(queue.heldBytes).toBeGreaterThanOrEqual(bytesLeft);
        expect(memory.beside.now).toBe(queue.heldBytes);
      }
      for (let item: Item | undefined = queue.shift(); item !== undefined; item = queue.shift())
        taken.push(...item.bytes);
      expect(taken).toEqual(pushed);
      expect([queue.bytes, queue.heldBytes, memory.beside.now]).toEqual([0, 0, 0]);
    }),
    { numRuns: 200 },
  );
});

test("small pieces that wait are gathered", () => {
  const queue = new SendQueue(new Memory(0));
  for (let i = 0; i < 100_000; i++) queue.pushData(new Uint8Array(1));
  expect(queue.dataBytes).toBe(100_000);
  expect(queue.length).toBeLessThanOrEqual(100_000 / limits.gatherBelowBytes + 2);
});

test("what is dropped is counted no longer", () => {
  const memory = new Memory(0);
  const queue = new SendQueue(memory);
  queue.pushData(new Uint8Array(5_000));
  queue.push({ type: RecordType.head, bytes: new Uint8Array(70) });
  queue.clear();
  expect([queue.bytes, queue.heldBytes, memory.held.now, memory.held.most]).toEqual([0, 0, 0, 5_070]);
});

test("a buffer that was given is freed when all of it has left, and not before", () => {
  const queue = new SendQueue(new Memory(0));
  const bytes = new Uint8Array(100_000);
  queue.push({ type: RecordType.data, bytes, buffer: bytes.buffer });
  const item = queue.peek() as Item;
  queue.cut(item, 99_000);
  expect(item.bytes.length).toBe(1_000);
  queue.shift();
  expect([bytes.length, queue.bytes, queue.heldBytes]).toEqual([0, 0, 0]);
});
