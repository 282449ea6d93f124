import { describe, expect, test } from "bun:test";
import { allowsKind, allowsName, type Claims, claimsFromPayload, ownerOf } from "../../relay/auth/claims.ts";
import { UnderpassError } from "../../shared/errors.ts";

const least = { iss: "underpass", sub: "alice", iat: 1, exp: 2_000 };

function claims(more: object = {}): Claims {
  return claimsFromPayload({ ...least, ...more });
}

describe("claims", () => {
  test("absent lists mean any name and all kinds, but no connect and no egress", () => {
    expect(claims()).toEqual({
      issuer: "underpass",
      subject: "alice",
      kinds: ["http", "tcp", "tls", "udp", "private"],
      connect: [],
      egress: [],
      issuedAtMs: 1_000,
      expiresAtMs: 2_000_000,
    });
    expect(allowsName(claims(), "anything")).toBe(true);
  });

  test("egress may be of any port", () => {
    const egress = [
      "*:*",
      "*.example.com:80,8000-8100",
      "10.0.0.0/8:22",
      "[2001:db8::]/32:443",
      "localhost:8080",
    ];
    expect(claims({ egress }).egress).toEqual(egress);
  });

  test("empty lists grant nothing", () => {
    expect(allowsName(claims({ names: [] }), "blue")).toBe(false);
    expect(allowsKind(claims({ kinds: [] }), "http")).toBe(false);
  });

  test("a kind is allowed only when it is listed", () => {
    expect(allowsKind(claims({ kinds: ["tcp"] }), "tcp")).toBe(true);
    expect(allowsKind(claims({ kinds: ["tcp"] }), "http")).toBe(false);
  });

  test.each([
    ["no payload", null],
    ["a list", []],
    ["no sub", { ...least, sub: undefined }],
    ["an empty sub", { ...least, sub: "" }],
    ["a blank sub", { ...least, sub: "  " }],
    ["a sub with a line break", { ...least, sub: "a\nb" }],
    ["a sub of 257 characters", { ...least, sub: "a".repeat(257) }],
    ["a sub that is a number", { ...least, sub: 1 }],
    ["no exp", { ...least, exp: undefined }],
    ["an exp that is text", { ...least, exp: "2000" }],
    ["an exp past all dates", { ...least, exp: 1e300 }],
    ["an iat that is text", { ...least, iat: "1" }],
    ["names that are a text", { ...least, names: "blue" }],
    ["names: null", { ...least, names: null }],
    ["a name that is a number", { ...least, names: [1] }],
    ["a glob in upper case", { ...least, names: ["Blue"] }],
    ["a glob with a regular expression", { ...least, names: ["(a+)+$"] }],
    ["an empty glob", { ...least, names: [""] }],
    ["257 globs", { ...least, names: new Array(257).fill("a") }],
    ["a kind that is unknown", { ...least, kinds: ["http", "ftp"] }],
    ["kinds that are an object", { ...least, kinds: { http: true } }],
    ["a connect that is a glob", { ...least, connect: ["db-*"] }],
    ["an egress without ports", { ...least, egress: ["10.0.0.0/8"] }],
    ["an egress with bits beyond its length", { ...least, egress: ["10.0.0.1/8:443"] }],
    ["an egress with a wildcard in an address", { ...least, egress: ["*:443", "10.0.0.*:443"] }],
    ["an egress that is a number", { ...least, egress: [443] }],
    ["an admin that is a text", { ...least, admin: "yes" }],
  ])("%s is refused as unauthorized", (_what, payload) => {
    try {
      claimsFromPayload(payload);
    } catch (error) {
      expect(error).toBeInstanceOf(UnderpassError);
      expect((error as UnderpassError).code).toBe("unauthorized");
      return;
    }
    throw new Error("was accepted");
  });

  test.each([
    ["blue", "blue", true],
    ["blue", "blues", false],
    ["blue", "a-blue", false],
    ["*", "x", true],
    ["team-*", "team-a", true],
    ["team-*", "team-", false],
    ["team-*", "team", false],
    ["*-team", "a-b-team", true],
    ["a*b*c", "a12b34c", true],
    ["a*b*c", "a12c34b", false],
    ["a*b", "abab", true],
    ["pr-?", "pr-1", true],
    ["pr-?", "pr-12", false],
    ["?*", "a", true],
    ["??*", "a", false],
    ["**", "a", true],
  ])("the glob %s against %s: %p", (glob, name, allowed) => {
    expect(allowsName(claims({ names: [glob] }), name)).toBe(allowed);
  });

  test("what is not a name is never allowed, whatever the globs", () => {
    for (const name of ["", "-a", "a-", "A", "a.b", "a/b", "*", "a".repeat(64), "a\n"]) {
      expect(allowsName(claims(), name)).toBe(false);
      expect(allowsName(claims({ names: ["*"] }), name)).toBe(false);
    }
  });

  // A matcher that backtracks would not end within the test's own time limit.
  test("a hostile glob costs no more than glob times name", () => {
    const hostile = claims({ names: new Array(256).fill(`${"*a".repeat(31)}b`) });
    expect(allowsName(hostile, "a".repeat(63))).toBe(false);
  });

  test("no two pairs of issuer and subject have the same owner, and an empty one has none (zrok CVE-2026-40304)", () => {
    const owners = [
      ownerOf({ issuer: "a", subject: "b c" }),
      ownerOf({ issuer: "a b", subject: "c" }),
      ownerOf({ issuer: 'a","b', subject: "c" }),
      ownerOf({ issuer: "a", subject: 'b","c' }),
    ];
    expect(new Set(owners).size).toBe(4);
    expect(() => ownerOf({ issuer: "a", subject: "" })).toThrow(UnderpassError);
    expect(() => ownerOf({ issuer: "", subject: "a" })).toThrow(UnderpassError);
  });
});
