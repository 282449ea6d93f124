import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type ProxiedEnds, type ProxyVersion, writeProxyHeader } from "../../shared/proxy-protocol.ts";
import { readProxyHeader } from "./proxy-header.ts";

const text = (ends: ProxiedEnds) => Buffer.from(writeProxyHeader("v1", ends)).toString("latin1");
const hex = (ends: ProxiedEnds) => Buffer.from(writeProxyHeader("v2", ends)).toString("hex");
const signature = "0d0a0d0a000d0a515549540a";
const widest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";

describe("a PROXY header, version 1", () => {
  test("is the example of section 2.1", () => {
    expect(text({ visitor: "192.168.0.1:56324", local: "192.168.0.11:443" })).toBe(
      "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
    );
  });

  test("is at its longest as long as section 2.1 reckons", () => {
    const v4 = "255.255.255.255:65535";
    expect(text({ visitor: v4, local: v4 })).toHaveLength(56);
    expect(text({ visitor: widest, local: widest })).toHaveLength(104);
    expect(text({})).toHaveLength(15);
  });

  test("has IPv6 addresses in groups of hexadecimal digits, zeros left out once, and no zone", () => {
    expect(text({ visitor: "[2001:DB8::0:1]:5", local: "[fe80::1%eth0]:0" })).toBe(
      "PROXY TCP6 2001:db8::1 fe80::1 5 0\r\n",
    );
  });

  test("has an IPv4 address beside an IPv6 one as IPv4-mapped", () => {
    expect(text({ visitor: "1.2.3.4:5", local: "[::1]:6" })).toBe("PROXY TCP6 ::ffff:102:304 ::1 5 6\r\n");
    expect(text({ visitor: "[::1]:6", local: "1.2.3.4:5" })).toBe("PROXY TCP6 ::1 ::ffff:102:304 6 5\r\n");
  });
});

describe("a PROXY header, version 2", () => {
  test("is the struct of section 2.2: signature, command, family, length, addresses, ports", () => {
    expect(hex({ visitor: "192.168.0.1:56324", local: "192.168.0.11:443" })).toBe(
      `${signature}2111000cc0a80001c0a8000bdc0401bb`,
    );
    const block = "20010db8000000000000000000000001000000000000000000000000000000010005ffff";
    expect(hex({ visitor: "[2001:db8::1]:5", local: "[::1]:65535" })).toBe(`${signature}21210024${block}`);
  });

  test("has an IPv4 address beside an IPv6 one as IPv4-mapped", () => {
    expect(hex({ visitor: "1.2.3.4:5", local: "[::1]:6" })).toBe(
      `${signature}2121002400000000000000000000ffff010203040000000000000000000000000000000100050006`,
    );
  });

  test("is LOCAL without a block where an end is not known", () => {
    expect(hex({})).toBe(`${signature}20000000`);
  });
});

describe("a PROXY header", () => {
  test("takes an address that is IPv4-mapped for the IPv4 address that it is", () => {
    const ends = { visitor: "[::ffff:1.2.3.4]:5", local: "[::ffff:102:305]:6" };
    expect(text(ends)).toBe("PROXY TCP4 1.2.3.4 1.2.3.5 5 6\r\n");
  });

  const good = "192.0.2.1:80";
  test.each([
    ...["", "x", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:5\r\n", "1.2.3.4:5\r\nPROXY", "1.2.3:5"],
    ...[
      "300.1.2.3:5",
      "010.1.2.3:5",
      "0x7f.1:5",
      "::1:5",
      "[::1]",
      "[::g]:5",
      "[1.2.3.4]:5",
      "[]:5",
      "host:80",
    ],
    "[::1]:5 ",
  ])("says that it does not know where a text is none of an address: %p", (bad) => {
    for (const ends of [{ visitor: bad, local: good }, { visitor: good, local: bad }, { visitor: bad }]) {
      expect(text(ends)).toBe("PROXY UNKNOWN\r\n");
      expect(hex(ends)).toBe(`${signature}20000000`);
    }
  });

  test("is read as what was written, and ends where the origin's bytes begin", () => {
    const v4 = fc.tuple(fc.ipV4(), fc.nat(65_535)).map(([address, port]) => `${address}:${port}`);
    const v6 = fc
      .tuple(fc.array(fc.nat(65_535), { minLength: 8, maxLength: 8 }), fc.nat(65_535))
      .filter(([groups]) => groups[0] !== 0)
      .map(([groups, port]) => `[${groups.map((group) => group.toString(16)).join(":")}]:${port}`);
    const version = fc.constantFrom<ProxyVersion>("v1", "v2");
    const ends = fc.oneof(fc.tuple(v4, v4), fc.tuple(v6, v6));
    const canonical = (place: string | undefined) => new URL(`http://${place}`).hostname;
    fc.assert(
      fc.property(version, ends, fc.uint8Array({ maxLength: 50 }), (wanted, [visitor, local], rest) => {
        const header = writeProxyHeader(wanted, { visitor, local });
        const read = readProxyHeader(Buffer.concat([header, rest]));
        expect(read.end).toBe(header.length);
        expect(read.kind).toBe(visitor.startsWith("[") ? "tcp6" : "tcp4");
        for (const [was, is] of [
          [visitor, read.source],
          [local, read.destination],
        ])
          expect([canonical(is), is?.split(":").at(-1)]).toEqual([canonical(was), was?.split(":").at(-1)]);
      }),
      { seed: 20_261_121, numRuns: 500 },
    );
  });

  test("is never thrown at by a text", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (visitor, local) => {
        for (const version of ["v1", "v2"] as const)
          readProxyHeader(writeProxyHeader(version, { visitor, local }));
      }),
    );
  });
});
