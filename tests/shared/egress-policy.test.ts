import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../shared/egress/address.ts";
import type { EgressPolicy } from "../../shared/egress/policy.ts";
import { parseTarget } from "../../shared/egress/target.ts";
import { EgressRig, policyOf } from "./egress-rig.ts";
import { refusedTargets, widePatterns } from "./egress-targets.ts";

/** May `target`, be it a name that resolves to `address`, be dialled there? */
function permits(policy: EgressPolicy, text: string, address?: string): boolean {
  const target = parseTarget(text);
  if (target === undefined || policy.asks(target) === "denied") return false;
  const dialled = address === undefined ? target.host.address : parseAddress(address);
  return dialled !== undefined && policy.permits(target, dialled);
}

describe("targets that no wildcard opens", () => {
  test("are at least 120, each told once", () => {
    expect(refusedTargets.length).toBeGreaterThan(120);
    expect(new Set(refusedTargets.map(({ target }) => target)).size).toBe(refusedTargets.length);
  });

  for (const patterns of [...widePatterns.map((one) => [one]), widePatterns]) {
    test(`are refused under ${patterns.join(" ")}`, async () => {
      for (const { target, answers, why } of refusedTargets) {
        const name = parseTarget(target)?.host.name;
        const rig = new EgressRig({
          answers: name === undefined || answers === undefined ? {} : { [name]: answers },
        });
        const call = rig.open(target, policyOf(...patterns));
        expect([why, target, await call.outcome()]).toEqual([why, target, "egress-denied"]);
        expect(rig.dials).toEqual([]);
        expect(rig.door.dials).toBe(0);
        if (answers === undefined) expect([target, rig.lookups]).toEqual([target, []]);
        expect(rig.ends).toMatchObject([{ bytesIn: 0, bytesOut: 0, end: "reset", code: "egress-denied" }]);
      }
    });
  }

  test("are not opened for a call by way of an agent either, unless by a name, which the agent checks", () => {
    const policy = policyOf(...widePatterns);
    for (const { target, answers } of refusedTargets)
      expect([target, policy.permitsTarget(target)]).toEqual([target, answers !== undefined]);
  });
});

describe("what is granted", () => {
  test.each([
    ["*:*", "example.com:443", "93.184.215.14"],
    ["*:443", "example.com:443", "2606:2800:21f::1"],
    ["*:443", "1.1.1.1:443", undefined],
    ["*:443", "[2606:4700:4700::1111]:443", undefined],
    ["*:443", "0x01010101:443", undefined],
    ["*:443", "[::ffff:1.1.1.1]:443", undefined],
    ["*:443", "[64:ff9b::1.1.1.1]:443", undefined],
    ["*.example.com:443", "a.example.com:443", "1.1.1.1"],
    ["*.example.com:443", "a.b.EXAMPLE.com.:443", "1.1.1.1"],
    ["*.EXAMPLE.com.:443", "a.example.com:443", "1.1.1.1"],
    ["db-?.example.com:5432", "db-1.example.com:5432", "1.1.1.1"],
    ["bücher.example:443", "xn--bcher-kva.example:443", "1.1.1.1"],
    ["xn--bcher-kva.example:443", "BÜCHER.example:443", "1.1.1.1"],
    // An exact name opens what is private to the machine or its network, too.
    ["localhost:8080", "localhost:8080", "127.0.0.1"],
    ["localhost:8080", "LOCALHOST.:8080", "::1"],
    ["db.internal:5432", "db.internal:5432", "10.1.2.3"],
    ["db.internal:5432", "db.internal:5432", "fd12::5"],
    ["nas.tail.example:22", "nas.tail.example:22", "100.101.102.103"],
    ["db.internal:*", "db.internal:1", "::ffff:192.168.1.1"],
    // And so do addresses, by whatever name they are asked for.
    ["10.0.0.0/8:*", "10.1.2.3:22", undefined],
    ["10.0.0.0/8:*", "0xa010203:22", undefined],
    ["10.0.0.0/8:*", "[::ffff:10.1.2.3]:22", undefined],
    ["10.0.0.0/8:*", "db.internal:22", "10.1.2.3"],
    ["10.1.2.3:22", "10.1.2.3:22", undefined],
    ["127.0.0.1:8080", "localhost:8080", "127.0.0.1"],
    ["127.0.0.0/8:8080", "127.3.4.5:8080", undefined],
    ["0.0.0.0:80", "0.0.0.0:80", undefined],
    ["[::1]:8080", "[0:0::1]:8080", undefined],
    ["[::1]/128:8080", "localhost:8080", "::1"],
    ["[fd00::]/8:22", "[fd12::1]:22", undefined],
    ["[2606:4700::]/32:53", "[2606:4700:4700::1111]:53", undefined],
    ["192.168.0.0/16:22,80,8000-8100", "192.168.9.9:8050", undefined],
    ["100.64.0.0/10:22", "100.101.102.103:22", undefined],
    ["169.254.0.0/16:80", "169.254.1.1:80", undefined],
    ["169.254.169.254:80", "169.254.169.254:80", undefined],
    ["169.254.169.254:80", "metadata.google.internal:80", "169.254.169.254"],
    ["169.254.169.0/24:80", "169.254.169.254:80", undefined],
    ["[fe80::]/10:631", "[fe80::1]:631", undefined],
    ["[64:ff9b::10.0.0.1]:80", "[64:ff9b::10.0.0.1]:80", undefined],
    ["0.0.0.0/0:443", "1.1.1.1:443", undefined],
    ["0.0.0.0/0:443", "anything.example:443", "1.1.1.1"],
    ["[::]/0:443", "[2606:4700::1]:443", undefined],
  ])("%s lets %s (%s) pass", (pattern, target, address) => {
    expect(permits(policyOf(pattern), target, address)).toBe(true);
    expect(permits(policyOf("other.example:1", pattern), target, address)).toBe(true);
    expect(permits(policyOf(), target, address)).toBe(false);
  });

  test.each([
    // Names.
    ["*.example.com:443", "example.com:443", "1.1.1.1"],
    ["*.example.com:443", "example.com.evil.example:443", "1.1.1.1"],
    ["*.example.com:443", "evilexample.com:443", "1.1.1.1"],
    ["example.com:443", "a.example.com:443", "1.1.1.1"],
    ["db-?.example.com:5432", "db-12.example.com:5432", "1.1.1.1"],
    ["*.example.com:443", "1.1.1.1:443", undefined],
    ["*.*:443", "1.1.1.1:443", undefined],
    // Ports.
    ["*:443", "example.com:80", "1.1.1.1"],
    ["*:443", "1.1.1.1:444", undefined],
    ["*:80,443", "example.com:81", "1.1.1.1"],
    ["*:8000-8100", "example.com:7999", "1.1.1.1"],
    ["*:8000-8100", "example.com:8101", "1.1.1.1"],
    ["10.0.0.0/8:22", "10.0.0.1:23", undefined],
    ["localhost:8080", "localhost:8081", "127.0.0.1"],
    ["db.internal:5432", "db.internal:22", "10.0.0.1"],
    // A wildcard in a name opens nothing that is private, and a name is not an address.
    ["*.internal:5432", "db.internal:5432", "10.1.2.3"],
    ["localhos?:8080", "localhost:8080", "127.0.0.1"],
    ["localhost:8080", "127.0.0.1:8080", undefined],
    ["localhost:8080", "foo.localhost:8080", "127.0.0.1"],
    ["127.0.0.1:8080", "localhost:8080", "::1"],
    // Link-local and metadata are not opened by name at all.
    ["metadata.google.internal:80", "metadata.google.internal:80", "169.254.169.254"],
    ["printer.local:631", "printer.local:631", "169.254.7.7"],
    ["printer.local:631", "printer.local:631", "fe80::1"],
    ["evil.example:80", "evil.example:80", "64:ff9b:1::a9fe:a9fe"],
    ["evil.example:80", "evil.example:80", "64:ff9b::a9fe:a9fe"],
    // A range opens what is special only if it lies within.
    ["0.0.0.0/0:*", "10.0.0.1:80", undefined],
    ["8.0.0.0/6:*", "10.0.0.1:80", undefined],
    ["10.0.0.0/7:*", "10.0.0.1:80", undefined],
    ["[fc00::]/6:*", "[fd00::1]:80", undefined],
    ["[::]/96:*", "[::1]:80", undefined],
    ["[::]/127:*", "[::1]:80", undefined],
    ["[::]/0:*", "10.0.0.1:80", undefined],
    ["[::]/0:*", "[::ffff:10.0.0.1]:80", undefined],
    ["169.254.0.0/16:*", "169.254.169.254:80", undefined],
    ["169.254.0.0/16:*", "169.254.170.2:80", undefined],
    ["100.64.0.0/10:*", "100.100.100.200:80", undefined],
    ["[fd00::]/8:*", "[fd00:ec2::254]:80", undefined],
    ["[fe80::]/10:*", "[fe80::a9fe:a9fe]:80", undefined],
    ["168.0.0.0/8:*", "168.63.129.16:80", undefined],
    ["192.0.0.0/24:*", "192.0.0.192:80", undefined],
    ["127.0.0.0/8:*", "0.0.0.0:80", undefined],
    ["0.0.0.0/8:*", "0.0.0.0:80", undefined],
    ["10.0.0.0/8:*", "[64:ff9b::10.0.0.1]:80", undefined],
    ["[64:ff9b::]/96:*", "[64:ff9b::10.0.0.1]:80", undefined],
    ["[2002::]/16:*", "[2002:7f00:1::1]:80", undefined],
    ["[2001::]/32:*", "[2001:0:7f00:1::1]:80", undefined],
  ])("%s does not let %s (%s) pass", (pattern, target, address) => {
    expect(permits(policyOf(pattern), target, address)).toBe(false);
  });

  test("several patterns add up, and none takes away from another", () => {
    const policy = policyOf("*:443", "10.0.0.0/8:22", "localhost:8080");
    expect(permits(policy, "example.com:443", "1.1.1.1")).toBe(true);
    expect(permits(policy, "10.0.0.1:22")).toBe(true);
    expect(permits(policy, "localhost:8080", "127.0.0.1")).toBe(true);
    expect(permits(policy, "10.0.0.1:443")).toBe(false);
    expect(permits(policy, "example.com:22", "1.1.1.1")).toBe(false);
    expect(permits(policy, "localhost:443", "127.0.0.1")).toBe(false);
    expect(permits(policy, "example.com:8080", "127.0.0.1")).toBe(false);
  });

  test("by a pattern is public only, for whoever passes the target on to one who resolves it", () => {
    const policy = policyOf("*:443", "db.internal:443", "10.0.0.0/8:443");
    expect(policy.opensPublicOnly("example.com:443")).toBe(true);
    expect(policy.opensPublicOnly("db.internal:443")).toBe(false);
    expect(policy.opensPublicOnly("10.1.2.3:443")).toBe(false);
    const [target, inside, outside] = [
      parseTarget("vm.example:443"),
      parseAddress("10.1.2.3"),
      parseAddress("93.184.215.14"),
    ];
    if (target === undefined || inside === undefined || outside === undefined) throw new Error("not read");
    const far = policyOf("vm.example:443", "10.0.0.0/8:443");
    expect([far.permits(target, inside), far.permits(target, inside, { publicOnly: true })]).toEqual([
      true,
      false,
    ]);
    expect(far.permits(target, outside, { publicOnly: true })).toBe(true);
  });

  test("a public address of this very machine is granted like loopback", () => {
    const address = parseAddress("93.184.215.14");
    const target = parseTarget("example.com:443");
    if (address === undefined || target === undefined) throw new Error("not read");
    const own = { isOwn: true };
    expect(policyOf("*:*").permits(target, address, own)).toBe(false);
    expect(policyOf("93.0.0.0/8:*").permits(target, address, own)).toBe(false);
    expect(policyOf("93.184.215.14:*").permits(target, address, own)).toBe(true);
    expect(policyOf("example.com:443").permits(target, address, own)).toBe(true);
  });
});

describe("before a name is resolved", () => {
  const asks = (text: string, ...patterns: readonly string[]) => {
    const target = parseTarget(text);
    return target && policyOf(...patterns).asks(target);
  };

  test("a name is granted by name, or may be by what it resolves to", () => {
    expect(asks("example.com:443", "*:443")).toBe("granted");
    expect(asks("example.com:443", "10.0.0.0/8:443")).toBe("by-address");
    expect(asks("example.com:443", "10.0.0.0/8:22")).toBe("denied");
    expect(asks("example.com:443", "other.example:443")).toBe("denied");
    expect(asks("example.com:443")).toBe("denied");
    expect(asks("10.0.0.1:443", "10.0.0.0/8:443")).toBe("granted");
    expect(asks("11.0.0.1:443", "10.0.0.0/8:443")).toBe("denied");
  });

  test("the relay of a call by way of an agent lets names pass by name and addresses by address", () => {
    const policy = policyOf("*.internal:22", "10.0.0.0/8:22", "*:443");
    expect(policy.permitsText("db.internal", 22)).toBe(true);
    expect(policy.permitsText("10.0.0.1", 22)).toBe(true);
    expect(policy.permitsText("[::ffff:10.0.0.1]", 22)).toBe(true);
    expect(policy.permitsText("example.com", 443)).toBe(true);
    expect(policy.permitsText("1.1.1.1", 443)).toBe(true);
    // Whatever it resolves to, the range is not what was asked for.
    expect(policy.permitsText("db.example", 22)).toBe(false);
    expect(policy.permitsText("192.168.0.1", 22)).toBe(false);
    expect(policy.permitsText("10.0.0.1", 443)).toBe(false);
    expect(policy.permitsText("127.0.0.1", 443)).toBe(false);
    expect(policy.permitsText("example.com", 0)).toBe(false);
    expect(policy.permitsText("", 443)).toBe(false);
    expect(policy.permitsText("a:1", 443)).toBe(false);
    expect(policyOf().permitsText("example.com", 443)).toBe(false);
  });
});
