/**
 * Makes the golden vectors beside it from the oracle: `bun tests/vectors/make.ts` writes them, `tests/mux/vectors.test.ts`
 * holds what is stored against both codecs. Bytes are hex, with runs (runs.ts).
 */
import { fromHex, fromText, integer, join, toHex } from "../oracle/bytes.ts";
import {
  decodeMessage,
  encodeMessage,
  encodeRaw,
  encodeRecord,
  maxDatagramBytes,
  type OracleMessage,
  type OracleRecord,
} from "../oracle/codec.ts";
import { decodeHead, encodeHead, encodeRawField, type OracleHead } from "../oracle/head.ts";
import {
  type HandshakeVector,
  hello,
  makeHandshakes,
  makeProofs,
  type ProofVector,
  resumed,
  resuming,
  welcome,
} from "./handshakes.ts";
import { fromRuns, toRuns } from "./runs.ts";

export interface MessageVector {
  name: string;
  bytes: string;
  decoded: OracleMessage;
}
export interface HeadVector {
  name: string;
  bytes: string;
  decoded: OracleHead | "head-invalid";
}
const requestHead = "GET /a%2Fb HTTP/1.1\r\nHost: x.example\r\n";
const request = toHex(encodeHead({ http: toHex(fromText(requestHead)), visitor: "192.0.2.7:50123" }));
const answer = toHex(encodeHead({ http: toHex(fromText("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")) }));
const trailers = toHex(encodeHead({ trailers: toHex(fromText("Digest: x\r\n")) }));

const goaway: OracleRecord = {
  record: "GOAWAY",
  kind: "drain",
  code: "going-away",
  lastStream: 7,
  graceMs: 30_000,
  reason: "restart – bis gleich",
};

const good: Record<string, OracleRecord[]> = {
  "HELLO alone": [{ record: "HELLO", hello }],
  "WELCOME alone": [{ record: "WELCOME", welcome }],
  "HELLO that resumes": [{ record: "HELLO", hello: resuming }],
  "WELCOME of a session that is resumed": [{ record: "WELCOME", welcome: resumed }],
  "ACK of nothing": [{ record: "ACK", count: 0 }],
  "ACK above 2^32": [{ record: "ACK", count: 2 ** 32 + 5 }],
  "ACK of the highest count": [{ record: "ACK", count: 2 ** 53 - 1 }],
  "CREDIT for one stream": [{ record: "CREDIT", limits: [{ stream: 1, limit: 131_072 }] }],
  "CREDIT for three streams": [
    {
      record: "CREDIT",
      limits: [
        { stream: 2, limit: 2 ** 40 },
        { stream: 4, limit: 65_536 },
        { stream: 0xffff_fffe, limit: 2 ** 53 - 1 },
      ],
    },
  ],
  "GOAWAY drain with a reason": [goaway],
  "GOAWAY bye": [{ record: "GOAWAY", kind: "bye", code: "goodbye", lastStream: 0, graceMs: 0, reason: "" }],
  "GOAWAY error": [
    {
      record: "GOAWAY",
      kind: "error",
      code: "protocol-error",
      lastStream: 0xffff_ffff,
      graceMs: 0,
      reason: "",
    },
  ],
  "GOAWAY that refuses a resume": [
    { record: "GOAWAY", kind: "error", code: "proof-invalid", lastStream: 0, graceMs: 0, reason: "" },
  ],
  "GOAWAY for a session that is gone": [
    { record: "GOAWAY", kind: "error", code: "session-gone", lastStream: 0, graceMs: 0, reason: "" },
  ],
  DOUBT: [{ record: "DOUBT", slot: 63 }],
  "DOUBT of a slot that can't be, beside an ACK": [
    { record: "ACK", count: 3 },
    { record: "DOUBT", slot: 255 },
  ],
  DATAGRAM: [{ record: "DATAGRAM", stream: 3, bytes: "00ff10" }],
  "DATAGRAM that is empty": [{ record: "DATAGRAM", stream: 3, bytes: "" }],
  "DATAGRAM of the largest size beside an ACK": [
    { record: "ACK", count: 9 },
    { record: "DATAGRAM", stream: 1, bytes: "78".repeat(maxDatagramBytes) },
  ],
  OPEN: [{ record: "OPEN", stream: 2, kind: 1, head: request }],
  "OPEN of kind tcp with a target": [
    { record: "OPEN", stream: 3, kind: 2, head: toHex(encodeHead({ target: "db.example:5432" })) },
  ],
  "HEAD without fields": [{ record: "HEAD", stream: 3, head: "" }],
  "OPEN of kind udp": [
    { record: "OPEN", stream: 4, kind: 3, head: toHex(encodeHead({ visitor: "192.0.2.7:50123" })) },
  ],
  "OPEN with the highest id and no fields": [{ record: "OPEN", stream: 0xffff_ffff, kind: 255, head: "" }],
  HEAD: [{ record: "HEAD", stream: 2, head: answer }],
  "HEAD with trailers": [{ record: "HEAD", stream: 2, head: trailers }],
  DATA: [{ record: "DATA", stream: 1, bytes: toHex(fromText("hello")) }],
  "DATA that is empty": [{ record: "DATA", stream: 1, bytes: "" }],
  "DATA that fills a message": [{ record: "DATA", stream: 1, bytes: "78".repeat(65_536 - 8) }],
  END: [{ record: "END", stream: 1 }],
  LEFT: [{ record: "LEFT", stream: 3 }],
  "RESET no-error": [{ record: "RESET", stream: 1, code: "no-error" }],
  "RESET stream-failed": [{ record: "RESET", stream: 0x0102_0304, code: "stream-failed" }],
  "an exchange's answer with what rides on it": [
    { record: "ACK", count: 12 },
    { record: "CREDIT", limits: [{ stream: 2, limit: 70_000 }] },
    { record: "HEAD", stream: 2, head: answer },
    { record: "DATA", stream: 2, bytes: "6f6b" },
    { record: "END", stream: 2 },
    { record: "RESET", stream: 4, code: "origin-refused" },
  ],
  "unknown records that are optional": [
    { record: "unknown control", type: 0x83, bytes: "0011" },
    { record: "unknown control", type: 0xbf, bytes: "" },
    { record: "unknown frame", type: 0xc1, stream: 5, bytes: "01" },
    { record: "unknown frame", type: 0xff, stream: 5, bytes: "" },
  ],
  "an unknown frame that is mandatory (for its stream to judge)": [
    { record: "unknown frame", type: 0x46, stream: 5, bytes: "01" },
  ],
};

const ack = encodeRecord({ record: "ACK", count: 1 });
const data = encodeRecord({ record: "DATA", stream: 1, bytes: "61" });

/** Not what an encoder makes, or to be refused: the bytes by hand. */
const byHand: Record<string, Uint8Array> = {
  "empty message": new Uint8Array(0),
  "message of 65,537 bytes": encodeRaw(0x43, join(integer(4, 1), new Uint8Array(65_537 - 8))),
  "record cut in its type and length": ack.slice(0, 3),
  "record that runs one byte past the message": data.slice(0, -1),
  "second record that runs past the message": join(ack, ack.slice(0, 10)),
  "length of 2^24 - 1": join(integer(1, 0x43), integer(3, 0xff_ffff), integer(4, 1)),
  "control record after a frame": join(data, ack),
  "optional unknown control record after a frame": join(data, encodeRaw(0x88, new Uint8Array(0))),
  "DOUBT after a frame": join(data, encodeRaw(0x87, integer(1, 1))),
  "DOUBT without a slot": encodeRaw(0x87, new Uint8Array(0)),
  "DOUBT that is longer than needed": encodeRaw(0x87, integer(3, 0x020304)),
  "DOUBT without its optional bit": encodeRaw(0x07, integer(1, 1)),
  "GOAWAY with the number after the last code": encodeRaw(
    0x05,
    join(integer(2, 0x0200), integer(2, 51), integer(8, 0)),
  ),
  "control record after an unknown optional frame": join(encodeRaw(0xc9, integer(4, 1)), ack),
  "unknown control record that is mandatory": encodeRaw(0x07, new Uint8Array(2)),
  "control record of type 0": encodeRaw(0x00, new Uint8Array(0)),
  "unknown control record that is mandatory, after an ACK": join(ack, encodeRaw(0x3f, new Uint8Array(2))),
  "ACK that is short": encodeRaw(0x03, integer(4, 1)),
  "ACK that is longer than needed": encodeRaw(0x03, join(integer(8, 1), integer(2, 7))),
  "ACK of 2^53": encodeRaw(0x03, integer(8, 2n ** 53n)),
  "CREDIT that is empty": encodeRaw(0x04, new Uint8Array(0)),
  "CREDIT of 11 bytes": encodeRaw(0x04, new Uint8Array(11)),
  "CREDIT of 13 bytes": encodeRaw(0x04, join(integer(4, 1), integer(8, 65_600), integer(1, 0))),
  "CREDIT to 2^53": encodeRaw(0x04, join(integer(4, 1), integer(8, 2n ** 53n))),
  "GOAWAY that is short": encodeRaw(0x05, new Uint8Array(11)),
  "GOAWAY of an unknown kind": encodeRaw(0x05, join(integer(2, 0x0300), integer(2, 32), integer(8, 0))),
  "GOAWAY whose zero is not": encodeRaw(0x05, join(integer(2, 0x0001), integer(2, 39), integer(8, 0))),
  "GOAWAY with an unknown code": encodeRaw(0x05, join(integer(2, 0x0200), integer(2, 999), integer(8, 0))),
  "GOAWAY with a code of RESET": encodeRaw(0x05, join(integer(2, 0x0200), integer(2, 3), integer(8, 0))),
  "GOAWAY whose reason is too long": encodeRaw(
    0x05,
    join(integer(2, 0), integer(2, 39), integer(8, 0), fromText("x".repeat(1_030))),
  ),
  "GOAWAY whose reason is not UTF-8": encodeRaw(
    0x05,
    join(integer(2, 0), integer(2, 39), integer(8, 0), fromHex("61ff62")),
  ),
  "DATAGRAM shorter than its id": encodeRaw(0x06, new Uint8Array(3)),
  "DATAGRAM of 65,508 bytes": encodeRaw(0x06, join(integer(4, 1), new Uint8Array(65_508))),
  "frame shorter than its id": encodeRaw(0x44, new Uint8Array(3)),
  "unknown optional frame shorter than its id": encodeRaw(0xc9, new Uint8Array(0)),
  "OPEN without a kind": encodeRaw(0x41, integer(4, 1)),
  "RESET without a code": encodeRaw(0x45, integer(4, 1)),
  "RESET with half a code": encodeRaw(0x45, join(integer(4, 1), integer(1, 0))),
  "RESET that is longer than needed": encodeRaw(0x45, join(integer(4, 1), integer(2, 1), integer(1, 9))),
  "RESET with an unknown code": encodeRaw(0x45, join(integer(4, 1), integer(2, 19))),
  "RESET with a code of GOAWAY": encodeRaw(0x45, join(integer(4, 1), integer(2, 32))),
  "LEFT that is longer than needed": encodeRaw(0xc6, join(integer(4, 1), integer(1, 9))),
  "END that is longer than needed": encodeRaw(0x44, join(integer(4, 1), integer(1, 9))),
  "HELLO of 16,385 bytes": encodeRaw(0x01, fromText(JSON.stringify({ pad: "x".repeat(16_385 - 10) }))),
  "HELLO that is no JSON": encodeRaw(0x01, fromText("{")),
  "HELLO that is no object": encodeRaw(0x01, fromText("[]")),
  "HELLO that is not UTF-8": encodeRaw(0x01, join(fromText('{"agent":"'), fromHex("ff"), fromText('"}'))),
  "HELLO with company": join(encodeRaw(0x01, fromText("{}")), ack),
  "HELLO twice": join(encodeRaw(0x01, fromText("{}")), encodeRaw(0x01, fromText("{}"))),
  "WELCOME behind an ACK": join(ack, encodeRaw(0x02, fromText("{}"))),
};

const heads: Record<string, Uint8Array> = {
  "no fields": new Uint8Array(0),
  request: fromHex(request),
  answer: fromHex(answer),
  trailers: fromHex(trailers),
  visitor: encodeHead({ visitor: "192.0.2.7:50123", local: "203.0.113.1:5432" }),
  target: encodeHead({ target: "[2001:db8::7]:443" }),
  "target that must be public": encodeHead({ target: "example.com:443", publicOnly: true }),
  "public with a value": join(encodeRawField(3, fromText("a:1")), encodeRawField(4, fromHex("01"))),
  "target of the largest size": encodeRawField(3, new Uint8Array(300).fill(0x61)),
  "target one byte too large": encodeRawField(3, new Uint8Array(301).fill(0x61)),
  "target twice": join(encodeRawField(3, fromText("a:1")), encodeRawField(3, fromText("a:1"))),
  "http of the largest size": encodeRawField(1, new Uint8Array(32_768).fill(0x61)),
  "http one byte too large": encodeRawField(1, new Uint8Array(32_769).fill(0x61)),
  "more than 40,960 bytes in all": join(
    encodeRawField(1, new Uint8Array(32_768).fill(0x61)),
    encodeRawField(2, new Uint8Array(8_190).fill(0x61)),
  ),
  "unknown optional field": join(encodeRawField(0x90, fromHex("00")), fromHex(answer)),
  "unknown mandatory field": join(fromHex(answer), encodeRawField(0x10, fromHex("00"))),
  "repeated field": join(fromHex(answer), fromHex(answer)),
  "repeated optional unknown field": join(
    encodeRawField(0x90, fromHex("00")),
    encodeRawField(0x90, fromHex("00")),
  ),
  "repeated field with another between": join(
    encodeRawField(0x81, fromText("a:1")),
    fromHex(answer),
    encodeRawField(0x81, fromText("b:2")),
  ),
  "field past the end": encodeRawField(1, fromText("GET / HTTP/1.1\r\n")).slice(0, -1),
  "tag without a length": join(fromHex(answer), fromHex("81")),
  "tag with half a length": join(fromHex(answer), fromHex("8100")),
};

function messageVector(name: string, bytes: Uint8Array): MessageVector {
  return { name, bytes: toHex(bytes), decoded: decodeMessage(bytes) };
}

/** File name to content. */
export function makeVectors(): {
  "messages.json": MessageVector[];
  "malformed.json": MessageVector[];
  "heads.json": HeadVector[];
  "handshakes.json": HandshakeVector[];
  "proofs.json": ProofVector[];
} {
  return {
    "messages.json": Object.entries(good).map(([name, records]) =>
      messageVector(name, encodeMessage(records)),
    ),
    "malformed.json": Object.entries(byHand).map(([name, bytes]) => messageVector(name, bytes)),
    "heads.json": Object.entries(heads).map(([name, bytes]) => ({
      name,
      bytes: toHex(bytes),
      decoded: decodeHead(bytes),
    })),
    "handshakes.json": makeHandshakes(),
    "proofs.json": makeProofs(),
  };
}

const hexMembers = ["bytes", "head", "http", "trailers"];

export function writeVectors(vectors: unknown): string {
  const short = (name: string, value: unknown) =>
    hexMembers.includes(name) && typeof value === "string" ? toRuns(value) : value;
  return JSON.stringify(vectors, short, 2);
}

export function readVectors<T>(text: string): T {
  const long = (name: string, value: unknown) =>
    hexMembers.includes(name) && typeof value === "string" ? fromRuns(value) : value;
  return JSON.parse(text, long) as T;
}

if (import.meta.main) {
  for (const [file, vectors] of Object.entries(makeVectors())) {
    await Bun.write(new URL(file, import.meta.url), `${writeVectors(vectors)}\n`);
  }
}
