import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isLinkHead, type LinkFacts, linkHead, readLinkHead } from "../../relay/cluster/link-head.ts";
import { decodeHead, encodeHead } from "../../shared/head.ts";
import { limits } from "../../shared/mux/limits.ts";

const facts: LinkFacts = {
  name: "blue",
  kind: "http",
  session: "abcdefgh-1_Z",
  claims: {
    ...{ issuer: "underpass", subject: "mé", names: ["bl*"], kinds: ["http", "tcp"], connect: ["red"] },
    ...{ egress: ["*.example:443"], issuedAtMs: 1_000, expiresAtMs: 2_000, admin: true },
  },
};

const field = (value: Uint8Array, behind: Uint8Array = new Uint8Array(0)): Uint8Array =>
  new Uint8Array([6, value.length >> 8, value.length & 0xff, ...value, ...behind]);
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

describe("the head of a link that is passed on", () => {
  test("comes out as it went in, with what may be absent and without", () => {
    const { names: _, admin: _no, ...few } = facts.claims;
    for (const claims of [facts.claims, few]) {
      const head = linkHead({ ...facts, claims }) ?? new Uint8Array(0);
      expect([isLinkHead(head), readLinkHead(head)]).toEqual([true, { ...facts, claims }]);
    }
  });

  test("is not one for an agent", () => {
    expect(decodeHead(linkHead(facts) ?? new Uint8Array(0))).toBeUndefined();
    expect([isLinkHead(encodeHead({ target: "a:1" })), isLinkHead(new Uint8Array(0))]).toEqual([
      false,
      false,
    ]);
  });

  test("holds nothing but what it is for", () => {
    const more = { ...facts, elsewhere: "abcdefgh", passedOn: true };
    expect(readLinkHead(linkHead(more) ?? new Uint8Array(0))).toEqual(facts);
    const told = readLinkHead(field(json({ ...facts, later: 1, claims: { ...facts.claims, later: 1 } })));
    expect(told).toEqual(facts);
  });

  test("is none where the claims are more than a frame carries", () => {
    const egress = Array.from({ length: 256 }, (_, i) => `${"a".repeat(200)}.example:${i}`);
    expect(linkHead({ ...facts, claims: { ...facts.claims, egress } })).toBeUndefined();
    const connect = Array.from({ length: 256 }, () => "b".repeat(63));
    const head = linkHead({ ...facts, claims: { ...facts.claims, connect } });
    expect(head?.length).toBeLessThanOrEqual(limits.maxHeadFieldsBytes);
  });

  const { claims } = facts;
  const hostile: [string, Uint8Array][] = [
    ["nothing", new Uint8Array(0)],
    ["half a field", linkHead(facts)?.subarray(0, 40) ?? new Uint8Array(0)],
    ["another field first", encodeHead({ target: "a:1" })],
    ["the field again", field(json(facts), field(json(facts)))],
    ["a known field behind it", field(json(facts), encodeHead({ target: "a:1" }))],
    ["what is not JSON", field(new TextEncoder().encode("{"))],
    ["what is not UTF-8", field(new Uint8Array([0xff]))],
    ["null", field(json(null))],
    ["a list", field(json([facts]))],
    ["no session", field(json({ ...facts, session: undefined }))],
    ["an empty session", field(json({ ...facts, session: "" }))],
    ["a session with a path", field(json({ ...facts, session: "../x" }))],
    ["a name that is none", field(json({ ...facts, name: "Blue" }))],
    ["a kind that is none", field(json({ ...facts, kind: "smtp" }))],
    ["a link of a relay", field(json({ ...facts, kind: "relay" }))],
    ["no claims", field(json({ ...facts, claims: undefined }))],
    ["a subject that is empty", field(json({ ...facts, claims: { ...claims, subject: "" } }))],
    ["an issuer that is none", field(json({ ...facts, claims: { ...claims, issuer: 1 } }))],
    ["names that are null", field(json({ ...facts, claims: { ...claims, names: null } }))],
    ["a pattern that is none", field(json({ ...facts, claims: { ...claims, egress: ["*"] } }))],
    ["no kinds", field(json({ ...facts, claims: { ...claims, kinds: undefined } }))],
    ["an end that is no number", field(json({ ...facts, claims: { ...claims, expiresAtMs: "1" } }))],
    [
      "more names than a token may have",
      field(json({ ...facts, claims: { ...claims, connect: Array(257).fill("a") } })),
    ],
  ];
  test.each(hostile)("is refused: %s", (_, fields) => {
    expect(readLinkHead(fields)).toBeUndefined();
  });

  test("may have an optional field of a later version behind it", () => {
    expect(readLinkHead(field(json(facts), new Uint8Array([0xf0, 0, 1, 9])))).toEqual(facts);
  });

  test("of any bytes never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(readLinkHead(field(bytes))).toBeUndefined();
        readLinkHead(bytes);
      }),
      { numRuns: 1_000 },
    );
  });
});
