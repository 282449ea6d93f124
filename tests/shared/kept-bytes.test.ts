import { expect, test } from "bun:test";
import fc from "fast-check";
import { KeptBytes } from "../../shared/links/kept-bytes.ts";

test("what was pushed is given away once, in order, whatever the sizes of the pieces", () => {
  const sizes = fc.oneof(fc.nat(20), fc.nat(2_000), fc.integer({ min: 32_760, max: 32_780 }), fc.nat(90_000));
  fc.assert(
    fc.property(fc.array(sizes, { maxLength: 30 }), (lengths) => {
      const kept = new KeptBytes();
      const pushed = lengths.map((length, i) => new Uint8Array(length).map((_, at) => i * 31 + at));
      for (const piece of pushed) kept.push(piece);
      expect(Buffer.concat(kept.take()).equals(Buffer.concat(pushed))).toBe(true);
      expect(kept.take()).toEqual([]);
    }),
    { numRuns: 60 },
  );
});
