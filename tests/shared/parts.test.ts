import { expect, test } from "bun:test";
import fc from "fast-check";
import { eventStreamLimits } from "../../shared/links/event-stream-limits.ts";
import { closePart, encodeParts, type Part, PartReader, PartType } from "../../shared/links/parts.ts";

const none = new Uint8Array(0);

function reading(): { readonly told: unknown[]; readonly reader: PartReader } {
  const told: unknown[] = [];
  const reader = new PartReader({
    message: (bytes) => told.push([...bytes]),
    text: (text) => told.push(text),
    close: (code, reason) => told.push({ code, reason }),
  });
  return { told, reader };
}

const binary = (bytes: Uint8Array): Part => ({ type: PartType.binary, bytes });
const text = (value: string): Part => ({ type: PartType.text, bytes: new TextEncoder().encode(value) });

test("what was put in comes out, however the body is cut", () => {
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map(binary),
    fc
      .string({ maxLength: 50 })
      .map((value) => value.toWellFormed())
      .map(text),
    fc.integer({ min: 1_000, max: 4_999 }).map((code) => closePart(code, "because")),
  );
  fc.assert(
    fc.property(
      fc.array(part, { minLength: 1, maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 60 }),
      (parts, lengths) => {
        const whole = encodeParts(none, parts);
        const { told, reader } = reading();
        let at = 0;
        for (const length of [...lengths, whole.length]) {
          expect(reader.push(whole.slice(at, at + length))).toBe(true);
          at += length;
        }
        expect(reader.end()).toBe(true);
        expect(told).toEqual(
          parts.map(({ type, bytes }) => {
            if (type === PartType.binary) return [...bytes];
            if (type === PartType.text) return new TextDecoder().decode(bytes);
            return { code: ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0), reason: "because" };
          }),
        );
      },
    ),
    { numRuns: 500 },
  );
});

test("a body that is empty, or ends in the middle of a part, breaks a rule", () => {
  const whole = encodeParts(none, [binary(new Uint8Array(10)), text("x")]);
  for (let length = 0; length < whole.length; length++) {
    const { reader } = reading();
    expect(reader.push(whole.slice(0, length))).toBe(true);
    // The first part alone is a body too.
    expect(reader.end()).toBe(length === 14);
  }
});

test("parts that are too large, of an unknown type, or a close without its code, break a rule", () => {
  const { maxMessageBytes, maxTextBytes, maxCloseBytes } = eventStreamLimits;
  const cases: [number, number, boolean][] = [
    [PartType.binary, maxMessageBytes, true],
    [PartType.binary, maxMessageBytes + 1, false],
    [PartType.text, maxTextBytes, true],
    [PartType.text, maxTextBytes + 1, false],
    [PartType.close, 2, true],
    [PartType.close, 1, false],
    [PartType.close, 0, false],
    [PartType.close, maxCloseBytes + 1, false],
    [3, 0, false],
    [255, 10, false],
  ];
  for (const [type, length, isValid] of cases) {
    const { told, reader } = reading();
    const bytes = encodeParts(none, [{ type: type as PartType, bytes: new Uint8Array(length) }]);
    expect([type, length, reader.push(bytes) && reader.end()]).toEqual([type, length, isValid]);
    expect(told.length).toBe(isValid ? 1 : 0);
    if (!isValid) expect(reader.push(new Uint8Array([0, 0, 0, 0]))).toBe(false);
  }
});

test("never throws, whatever bytes come, and keeps no more than one message", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 20 }), (chunks) => {
      const { reader } = reading();
      for (const chunk of chunks) reader.push(chunk);
      reader.end();
    }),
    { numRuns: 2_000 },
  );
});
