import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readHello, readWelcome } from "../../shared/handshake.ts";
import { decodeHead } from "../../shared/head.ts";
import { fromText, join, toHex } from "../oracle/bytes.ts";
import { decodeMessage, encodeRaw } from "../oracle/codec.ts";
import { checkHello, checkWelcome } from "../oracle/handshake.ts";
import { decodeHead as decodeOracleHead, encodeRawField } from "../oracle/head.ts";
import type { HandshakeVector } from "../vectors/handshakes.ts";
import { readVectors } from "../vectors/make.ts";

const handshakes = readVectors<HandshakeVector[]>(
  await Bun.file(new URL("../vectors/handshakes.json", import.meta.url)).text(),
);
const least = (record: "HELLO" | "WELCOME"): Record<string, unknown> =>
  handshakes.find((vector) => vector.record === record && vector.name === "least")?.json as Record<
    string,
    unknown
  >;

const settings = { seed: 20_261_121, numRuns: 1_000 };

/** What the oracle answers to a first message: a code, or undefined where it takes it. */
function oracleAnswer(bytes: Uint8Array, record: "HELLO" | "WELCOME"): string | undefined {
  const { records, fault } = decodeMessage(bytes);
  const [first] = records;
  if (fault !== undefined || first === undefined) return fault;
  if (first.record === "GOAWAY") return "goaway";
  if (first.record !== record) return "protocol-error";
  return first.record === "HELLO"
    ? checkHello(first.hello)
    : checkWelcome(first.record === "WELCOME" && first.welcome);
}

function coreAnswer(bytes: Uint8Array, record: "HELLO" | "WELCOME"): string | undefined {
  const result = record === "HELLO" ? readHello(bytes) : readWelcome(bytes);
  if (result.kind === "ok") return undefined;
  return result.kind === "fault" ? result.code : "goaway";
}

const value = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom<unknown>(
    0,
    1,
    -1,
    1.5,
    63,
    64,
    65_535,
    65_536,
    16_777_216,
    16_777_217,
    2 ** 53,
    "",
    "http",
    null,
  ),
  fc.array(fc.string(), { maxLength: 3 }),
);

describe("the handshake's readers agree with the oracle on", () => {
  test.each(["HELLO", "WELCOME"] as const)("a %s with a member that is another", (record) => {
    const type = record === "HELLO" ? 1 : 2;
    const names = [...Object.keys(least(record)), "join", "agent", "resume", "__proto__", "colour"];
    fc.assert(
      fc.property(fc.constantFrom(...names), value, (name, member) => {
        const json = JSON.stringify({ ...least(record), [name]: member });
        const bytes = encodeRaw(type, fromText(json));
        expect(coreAnswer(bytes, record)).toBe(oracleAnswer(bytes, record));
      }),
      settings,
    );
  });

  test("a message with a byte that is another, cut short, or nothing of the kind", () => {
    const bytes = encodeRaw(1, fromText(JSON.stringify(least("HELLO"))));
    fc.assert(
      fc.property(
        fc.nat(bytes.length - 1),
        fc.nat(255),
        fc.boolean(),
        fc.uint8Array({ maxLength: 40 }),
        (at, to, cut, other) => {
          const flipped = bytes.slice();
          flipped[at] = to;
          for (const message of [flipped, cut ? bytes.slice(0, at) : join(bytes, other), other]) {
            // Only the first record is looked at here: what comes behind one makes it a protocol error in both.
            expect(coreAnswer(message, "HELLO") === undefined).toBe(
              oracleAnswer(message, "HELLO") === undefined,
            );
          }
        },
      ),
      settings,
    );
  });
});

test("the reader of head fields agrees with the oracle on any bytes and any fields", () => {
  const field = fc
    .tuple(fc.constantFrom(0x01, 0x02, 0x81, 0x82, 0x03, 0xff), fc.uint8Array({ maxLength: 12 }))
    .map(([tag, content]) => encodeRawField(tag, content));
  const fields = fc
    .tuple(fc.array(field, { maxLength: 5 }), fc.uint8Array({ maxLength: 4 }))
    .map(([all, rest]) => join(...all, rest));
  fc.assert(
    fc.property(fc.oneof(fields, fc.uint8Array({ maxLength: 40 })), (bytes) => {
      const expected = decodeOracleHead(bytes);
      const head = decodeHead(bytes);
      if (expected === "head-invalid") expect(head).toBeUndefined();
      else {
        const { http, trailers, visitor } = head ?? {};
        const hex = (part: Uint8Array | undefined) => (part === undefined ? undefined : toHex(part));
        const { http: h, trailers: t, visitor: v } = expected;
        expect([hex(http), hex(trailers), visitor]).toEqual([h, t, v]);
      }
    }),
    settings,
  );
});
