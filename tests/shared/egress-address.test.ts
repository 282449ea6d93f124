import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { Address, parseAddress } from "../../shared/egress/address.ts";
import { judge } from "../../shared/egress/address-class.ts";
import { hostText, parseHost } from "../../shared/egress/host.ts";
import { parseTarget } from "../../shared/egress/target.ts";
import { closedAllTheSame, specialPurposeV4, specialPurposeV6 } from "./egress-registries.ts";
import { policyOf } from "./egress-rig.ts";
import { spelledV4, spelledV6, v4Octets, v6Groups } from "./egress-spellings.ts";

const classOf = (text: string): string => {
  const address = parseAddress(text);
  return address === undefined ? "no address" : judge(address).class;
};
const dotted = (octets: readonly number[]): string => octets.join(".");
const v6 = (groups: readonly number[]): Address => new Address(new ipaddr.IPv6([...groups]));

describe("an address", () => {
  test.each([
    ["127.0.0.1", "127.0.0.1"],
    ["127.1", "127.0.0.1"],
    ["2130706433", "127.0.0.1"],
    ["0177.0.0.1", "127.0.0.1"],
    ["0x7F.1", "127.0.0.1"],
    ["8.8.8.8.", "8.8.8.8"],
    ["::FFFF:8.8.8.8", "8.8.8.8"],
    ["::8.8.8.8", "::808:808"],
    ["2001:0DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::", "::"],
  ])("%s is %s", (text, canonical) => expect(parseAddress(text)?.text).toBe(canonical));

  test.each([
    "",
    ".",
    "1.2.3.4.5",
    "256.1.1.1",
    "08",
    "0x1ffffffff",
    "-1",
    "+1",
    "1e3",
    " 1",
    "1 ",
    "1\n",
    "%31",
    "１",
    "beef",
    "x",
    "::1%lo",
    "[::1]",
    "::1::",
    "1::2::3",
    ":::",
    "12345::",
    "::1.2.3",
    "::256.1.1.1",
    "::1.256.1.1",
    "::1.1.1.999",
    "::01.2.3.4",
    "1:2:3:4:5:6:7:8:9",
    `${"0".repeat(200)}1`,
  ])("%j is none", (text) => expect(parseAddress(text)).toBeUndefined());

  test("of any IPv4 spelling is read as the one that is meant", () => {
    fc.assert(
      fc.property(spelledV4(v4Octets), ({ text, octets }) => {
        expect(parseHost(text)?.address?.text).toBe(dotted(octets));
      }),
      { numRuns: 2_000 },
    );
  });

  test("of any IPv6 spelling is read as the one that is meant, and its text is read as itself", () => {
    fc.assert(
      fc.property(spelledV6(v6Groups), ({ text, groups }) => {
        const address = parseAddress(text);
        const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
        expect(address?.isV4).toBe(isMapped);
        if (!isMapped) expect(address?.text).toBe(v6(groups).text);
        expect(parseAddress(address?.text ?? "")?.text).toBe(address?.text);
        expect(parseHost(address?.bracketed ?? "")?.address?.text).toBe(address?.text);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("a host", () => {
  test.each([
    ["Example.COM.", "example.com"],
    ["BÜCHER.example", "xn--bcher-kva.example"],
    ["my_service.example", "my_service.example"],
    ["exa\u00admple.com", "example.com"],
    ["a。b", "a.b"],
    ["localhost", "localhost"],
    ["127.1", "127.0.0.1"],
    ["[2001:DB8::0:1]", "[2001:db8::1]"],
    ["[::ffff:1.2.3.4]", "1.2.3.4"],
  ])("%s is %s", (text, canonical) => {
    const host = parseHost(text);
    expect(host && hostText(host)).toBe(canonical);
  });

  test("is read to one form, whatever the text: never throws, and its form is read as itself", () => {
    const piece = fc.oneof(
      fc.string({ unit: "binary", maxLength: 4 }),
      fc.constantFrom(
        "127",
        "0x7f",
        "1",
        ".",
        "。",
        "localhost",
        "[",
        "]",
        "::",
        "@",
        "%",
        "/",
        "\\",
        "\0",
        "\t",
        " ",
        "１",
        "xn--",
        "-",
        ":",
        "ffff",
        "*",
      ),
    );
    const texts = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(texts, (text) => {
        const host = parseHost(text);
        if (host === undefined) return;
        const canonical = hostText(host);
        expect(canonical).toMatch(/^(?:[0-9a-z_.-]+|\[[0-9a-f:]+\])$/);
        const again = parseHost(canonical);
        expect(again && hostText(again)).toBe(canonical);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe("the class of an address", () => {
  test.each([
    ["8.8.8.8", "public"],
    ["172.32.0.1", "public"],
    ["100.128.0.1", "public"],
    ["2606:4700:4700::1111", "public"],
    ["64:ff9b::8.8.8.8", "public"],
    ["10.0.0.1", "private"],
    ["fd00::1", "private"],
    ["127.0.0.1", "loopback"],
    ["0.0.0.0", "loopback"],
    ["::", "loopback"],
    ["::1", "loopback"],
    ["::ffff:127.0.0.1", "loopback"],
    ["169.254.1.1", "link-local"],
    ["fe80::1", "link-local"],
    ["169.254.169.254", "metadata"],
    ["fd00:ec2::254", "metadata"],
    ["100.100.100.200", "metadata"],
    ["168.63.129.16", "metadata"],
    ["169.254.170.2", "metadata"],
    ["0.0.0.1", "reserved"],
    ["224.0.0.1", "reserved"],
    ["255.255.255.255", "reserved"],
    ["2001:db8::1", "reserved"],
    // By what is inside.
    ["::10.0.0.1", "private"],
    ["::8.8.8.8", "reserved"],
    ["64:ff9b::10.0.0.1", "private"],
    ["64:ff9b::169.254.169.254", "metadata"],
    ["64:ff9b:1::169.254.169.254", "metadata"],
    ["64:ff9b:1:a9fe:a9:fe00::", "metadata"],
    ["64:ff9b:1:ffa9:fe:a9fe::", "metadata"],
    ["64:ff9b:1:0:a9:fea9:fe00::", "metadata"],
    ["2002:a9fe:a9fe::", "metadata"],
    ["2002:808:808::", "reserved"],
    ["2001:0:a9fe:a9fe::", "metadata"],
    ["2001:0:808:808::5601:5601", "metadata"],
    ["2606:4700::5efe:169.254.169.254", "metadata"],
    ["2606:4700::200:5efe:10.0.0.1", "private"],
    ["2606:4700::5efe:8.8.8.8", "public"],
  ])("%s is %s", (text, name) => expect(classOf(text)).toBe(name));

  test("agrees with the registries of IANA: on each block, at its edges and beside it", () => {
    for (const rows of [specialPurposeV4, specialPurposeV6]) {
      const blocks = rows.map(([block, isReachable]) => ({ block, isReachable, ...blockOf(block) }));
      const edges = blocks.flatMap(({ first, last }) => [
        first - 1n,
        first,
        first + 1n,
        last - 1n,
        last,
        last + 1n,
      ]);
      const width = rows === specialPurposeV4 ? 32 : 128;
      for (const number of edges) {
        if (number < 0n || number >> BigInt(width) > 0n) continue;
        const address = addressOf(number, width);
        // What is mapped has become IPv4, and is in the other table.
        if (address.isV4 !== (width === 32)) continue;
        const [narrowest] = blocks
          .filter(({ first, last }) => first <= number && number <= last)
          .sort((a, b) => b.bits - a.bits);
        const { class: name } = judge(address);
        if (narrowest?.block === "64:ff9b::/96") {
          // Whatever is inside.
          expect([address.text, name]).toEqual([
            address.text,
            judge(addressOf(number & 0xffff_ffffn, 32)).class,
          ]);
          continue;
        }
        const isOpen =
          narrowest === undefined || (narrowest.isReachable && !closedAllTheSame.has(narrowest.block));
        expect([address.text, narrowest?.block, name === "public"]).toEqual([
          address.text,
          narrowest?.block,
          isOpen,
        ]);
      }
    }
  });

  test("calls nothing public that ipaddr.js calls special, save for blocks that are reachable", () => {
    const reachable = ["as112", "amt", "as112v6", "rfc6052"];
    const address = fc.oneof(
      v4Octets.map((octets) => new Address(new ipaddr.IPv4([...octets]))),
      v6Groups.map(v6),
    );
    fc.assert(
      fc.property(address, (one) => {
        const range = one.value.range();
        if (judge(one).class === "public" && !reachable.includes(range)) expect(range).toBe("unicast");
      }),
      { numRuns: 5_000 },
    );
  });
});

describe("every spelling of an IPv4 address that is not public", () => {
  const special = specialPurposeV4.filter(
    ([block, isReachable]) => !isReachable || closedAllTheSame.has(block),
  );
  const octets = fc.constantFrom(...special).chain(([block]) => {
    const { first, last } = blockOf(block);
    return fc.bigInt({ min: first, max: last }).map((number) => addressOf(number, 32).bytes);
  });

  test("is refused under *:*", () => {
    const policy = policyOf("*:*", "0.0.0.0/0:*", "[::]/0:*");
    fc.assert(
      fc.property(spelledV4(octets), ({ text }) => {
        const target = parseTarget(`${text}:80`);
        expect(target && policy.asks(target)).toBe("denied");
      }),
      { numRuns: 3_000 },
    );
  });

  test("is refused inside of every IPv6 address that may lead to it", () => {
    const policy = policyOf("*:*", "0.0.0.0/0:*", "[::]/0:*");
    const groups = octets.chain(([a = 0, b = 0, c = 0, d = 0]) => {
      const [high, low] = [a * 256 + b, c * 256 + d];
      const any = fc.nat(0xffff);
      const constant = (...fixed: readonly number[]) => fc.constant(fixed);
      return fc.oneof(
        constant(0, 0, 0, 0, 0, 0xffff, high, low),
        constant(0, 0, 0, 0, 0, 0, high, low),
        constant(0, 0, 0, 0, 0xffff, 0, high, low),
        constant(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        fc.tuple(any, any, any).map(([x, y, z]) => [0x64, 0xff9b, 1, x, y, z, high, low]),
        fc.tuple(any, any, any, any, any).map((rest) => [0x2002, high, low, ...rest]),
        fc.tuple(any, any, any, any).map((rest) => [0x2001, 0, high, low, ...rest]),
        fc.tuple(any, any, any, any).map((rest) => [0x2001, 0, ...rest, high ^ 0xffff, low ^ 0xffff]),
        fc.tuple(any, any, any).map(([x, y, z]) => [0x2606, x, y, z, 0, 0x5efe, high, low]),
      );
    });
    fc.assert(
      fc.property(spelledV6(groups), ({ text }) => {
        const target = parseTarget(`[${text}]:80`);
        expect(target && policy.asks(target)).toBe("denied");
      }),
      { numRuns: 3_000 },
    );
  });

  test("and of a public one passes, and is dialled at that address", () => {
    const policy = policyOf("*:443");
    const publicOctets = v4Octets.filter((parts) => classOf(dotted(parts)) === "public");
    fc.assert(
      fc.property(spelledV4(publicOctets), ({ text, octets: meant }) => {
        const target = parseTarget(`${text}:443`);
        expect(target && policy.asks(target)).toBe("granted");
        expect(target?.host.address?.text).toBe(dotted(meant));
      }),
      { numRuns: 1_000 },
    );
  });
});

function blockOf(block: string): { first: bigint; last: bigint; bits: number } {
  const [base, bits] = ipaddr.parseCIDR(block);
  const bytes = base.toByteArray();
  const first = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  return { first, last: first + (1n << BigInt(bytes.length * 8 - bits)) - 1n, bits };
}

function addressOf(number: bigint, width: number): Address {
  const bytes = Array.from({ length: width / 8 }, (_, index) =>
    Number((number >> BigInt(width - 8 - 8 * index)) & 255n),
  );
  const text = ipaddr.fromByteArray(bytes).toString();
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is not read`);
  return address;
}
