import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EgressGrants } from "../../relay/egress-grants.ts";
import { isPattern, parsePattern } from "../../shared/egress/pattern.ts";
import { UnderpassError } from "../../shared/errors.ts";

describe("an egress pattern", () => {
  test.each([
    ["example.com:443", "example.com", undefined],
    ["Example.COM.:443", "example.com", undefined],
    ["*:*", "*", undefined],
    ["*.example.com:80,443", "*.example.com", undefined],
    ["DB-?.Example.com:1-65535", "db-?.example.com", undefined],
    ["bücher.example:443", "xn--bcher-kva.example", undefined],
    ["localhost:8080", "localhost", undefined],
    ["my_service:5432", "my_service", undefined],
    ["v*.10.example.com:80", "v*.10.example.com", undefined],
    ["10.0.0.1:443", undefined, "10.0.0.1/32"],
    ["10.0.0.0/8:443", undefined, "10.0.0.0/8"],
    ["0.0.0.0/0:*", undefined, "0.0.0.0/0"],
    ["192.168.1.128/25:22", undefined, "192.168.1.128/25"],
    ["[::1]:443", undefined, "::1/128"],
    ["[2001:DB8::]/32:443", undefined, "2001:db8::/32"],
    ["[::]/0:*", undefined, "::/0"],
    ["[2001:db8:8000::]/33:443,8000-8100", undefined, "2001:db8:8000::/33"],
  ])("%s is understood", (text, name, network) => {
    const pattern = parsePattern(text);
    expect([pattern.name, pattern.network?.text]).toEqual([name, network]);
    expect(isPattern(text)).toBe(true);
  });

  test.each([
    ["", "HOST:PORTS"],
    ["443", "HOST:PORTS"],
    [":443", "HOST:PORTS"],
    ["example.com", "HOST:PORTS"],
    ["example.com:", "HOST:PORTS"],
    ["example.com:0", "HOST:PORTS"],
    ["example.com:65536", "HOST:PORTS"],
    ["example.com:443,", "HOST:PORTS"],
    ["example.com:9-8", "HOST:PORTS"],
    ["example.com:1-", "HOST:PORTS"],
    ["example.com:*,80", "HOST:PORTS"],
    ["example.com:080", "HOST:PORTS"],
    ["example.com: 80", "HOST:PORTS"],
    ["10.0.0.0/8", "HOST:PORTS"],
    ["10.0.0.0:8/443", "HOST:PORTS"],
    ["10.0.0.1/8:443", "bits set beyond its length"],
    ["[2001:db8::1]/32:443", "bits set beyond its length"],
    ["10.0.0.0/33:443", "above /32"],
    ["[::]/129:443", "above /128"],
    ["[::ffff:10.0.0.1]:443", "10.0.0.1"],
    ["[::ffff:10.0.0.0]/104:443", "10.0.0.0"],
    ["10.0.0.0/08:443", "no host"],
    ["10.0.0.0/-1:443", "no host"],
    ["10.0.0.0/8/8:443", "no host"],
    ["example.com/8:443", "after a name"],
    ["010.0.0.1:443", "8.0.0.1"],
    ["0x7f.1:443", "127.0.0.1"],
    ["2130706433:443", "127.0.0.1"],
    ["127.0.0.1.:443", "127.0.0.1"],
    ["１0.0.0.1:443", "10.0.0.1"],
    ["10.0.0.*:443", "range like"],
    ["10.?.0.1:443", "range like"],
    ["1*:443", "range like"],
    ["2001:db8::/32:443", "brackets"],
    ["::1:443", "brackets"],
    ["*::443", "brackets"],
    ["[fe80::1%eth0]:443", "no host"],
    ["[::1:443", "no host"],
    ["[::1]]:443", "no host"],
    ["exa mple.com:443", "no host"],
    ["https://example.com:443", "brackets"],
    ["example.com/path:443", "no host"],
    ["user@example.com:443", "no host"],
    ["b*ücher.example:443", "xn--"],
    ["*.exa/mple.com:443", "character"],
    ["example..com:443", "no host"],
    ["1.2.3:443", "1.2.0.3"],
    [`${"a".repeat(400)}:443`, "too long"],
    ["example.com\n:443", "no host"],
    ["\0:443", "no host"],
  ])("%j is refused, and told why", (text, why) => {
    expect(isPattern(text)).toBe(false);
    try {
      parsePattern(text);
    } catch (error) {
      expect(error).toBeInstanceOf(UnderpassError);
      expect((error as UnderpassError).code).toBe("usage");
      expect((error as UnderpassError).message).toContain(why);
      return;
    }
    throw new Error("was accepted");
  });

  test("has the ports that it lists, and no others", () => {
    const pattern = parsePattern("example.com:22,80,8000-8100");
    const has = [1, 22, 23, 79, 80, 81, 7999, 8000, 8050, 8100, 8101, 65_535].filter((port) =>
      pattern.hasPort(port),
    );
    expect(has).toEqual([22, 80, 8000, 8050, 8100]);
    expect([1, 65_535].every((port) => parsePattern("a:*").hasPort(port))).toBe(true);
  });

  test("of any text is understood or refused, never anything else", () => {
    const piece = fc.constantFrom(
      "*",
      "?",
      ".",
      ":",
      "/",
      "[",
      "]",
      "10",
      "0",
      "8",
      "::",
      "a",
      "%",
      "-",
      ",",
      "é",
      "\0",
      " ",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join("");
        if (!isPattern(text)) return;
        const { name, network } = parsePattern(text);
        expect((name === undefined) !== (network === undefined)).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });

  test("is parsed once for the claims that hold it", () => {
    const grants = new EgressGrants();
    const claims = {
      issuer: "underpass",
      subject: "alice",
      kinds: [],
      connect: [],
      egress: ["*:443", "10.0.0.0/8:22"],
      issuedAtMs: 0,
      expiresAtMs: 0,
    };
    const policy = grants.policyOf(claims);
    expect(grants.policyOf(claims)).toBe(policy);
    expect(policy.patterns.map(({ text }) => text)).toEqual(claims.egress);
    const [other, stranger] = [
      { ...claims, egress: [] },
      { ...claims, subject: "bob" },
    ].map((one) => grants.policyOf(one));
    expect(other?.patterns).toEqual([]);
    // Places are shared out by subject, however many sessions and tokens it has.
    expect(other?.owner).toBe(policy.owner);
    expect(stranger?.owner).not.toBe(policy.owner);
  });
});
