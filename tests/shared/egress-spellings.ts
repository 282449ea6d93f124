import fc from "fast-check";

export const v4Octets = fc.array(fc.nat(255), { minLength: 4, maxLength: 4 });
/** With many zeros, as addresses have them. */
export const v6Groups = fc.array(fc.oneof(fc.nat(0xffff), fc.constant(0), fc.constant(0xffff)), {
  minLength: 8,
  maxLength: 8,
});

interface SpelledV4 {
  readonly text: string;
  readonly octets: readonly number[];
}

/** An IPv4 address in one of the many ways of inet_aton and of the WHATWG URL standard. */
export function spelledV4(octets: fc.Arbitrary<readonly number[]>): fc.Arbitrary<SpelledV4> {
  const style = fc.record({
    parts: fc.integer({ min: 1, max: 4 }),
    bases: fc.array(fc.constantFrom(8, 10, 16), { minLength: 4, maxLength: 4 }),
    zeros: fc.array(fc.nat(3), { minLength: 4, maxLength: 4 }),
    isUpper: fc.boolean(),
    hasDot: fc.boolean(),
    isWide: fc.boolean(),
  });
  return fc.tuple(octets, style).map(([four, { parts, bases, zeros, isUpper, hasDot, isWide }]) => {
    const heads = four.slice(0, parts - 1);
    const tail = four.slice(parts - 1).reduce((sum, octet) => sum * 256 + octet, 0);
    const spelled = [...heads, tail].map((value, index) => {
      const base = bases[index] ?? 10;
      const digits = value.toString(base);
      const padding = "0".repeat(zeros[index] ?? 0);
      // A decimal number that began with zeros would be octal.
      if (base === 10) return digits;
      return base === 8 ? `0${padding}${digits}` : `0x${padding}${digits}`;
    });
    const plain = `${spelled.join(".")}${hasDot ? "." : ""}`;
    const cased = isUpper ? plain.toUpperCase() : plain;
    const text = isWide
      ? cased.replace(/[0-9]/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)))
      : cased;
    return { text, octets: four };
  });
}

interface SpelledV6 {
  readonly text: string;
  readonly groups: readonly number[];
}

/** An IPv6 address in any form of RFC 4291 section 2.2, without brackets. */
export function spelledV6(groups: fc.Arbitrary<readonly number[]>): fc.Arbitrary<SpelledV6> {
  const style = fc.record({
    widths: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 8, maxLength: 8 }),
    isUpper: fc.boolean(),
    hasDotted: fc.boolean(),
    /** Where a run of zeros is looked for that may be left out. */
    gapFrom: fc.nat(8),
    gapLength: fc.integer({ min: 1, max: 8 }),
  });
  return fc.tuple(groups, style).map(([eight, { widths, isUpper, hasDotted, gapFrom, gapLength }]) => {
    const [high = 0, low = 0] = eight.slice(6);
    const pieces = eight.map((group, index) => group.toString(16).padStart(widths[index] ?? 1, "0"));
    if (hasDotted) pieces.splice(6, 2, [high >> 8, high & 255, low >> 8, low & 255].join("."));
    const groupsLeft = hasDotted ? 6 : 8;
    let gapTo = gapFrom;
    while (gapTo < groupsLeft && gapTo - gapFrom < gapLength && eight[gapTo] === 0) gapTo++;
    const text =
      gapTo === gapFrom
        ? pieces.join(":")
        : `${pieces.slice(0, gapFrom).join(":")}::${pieces.slice(gapTo).join(":")}`;
    return { text: isUpper ? text.toUpperCase() : text, groups: eight };
  });
}
