import { describe, expect, test } from "bun:test";
import { readHello, readWelcome } from "../../shared/handshake.ts";
import { decodeHead, encodeHead } from "../../shared/head.ts";
import { pingText, pongText } from "../../shared/liveness.ts";
import { MessageWriter, RecordType } from "../../shared/mux/frame.ts";
import { type MessageHandler, readMessage } from "../../shared/mux/message.ts";
import { isProof, prove } from "../../shared/proof.ts";
import { fromHex, fromText, toHex, toText } from "../oracle/bytes.ts";
import {
  encodeMessage,
  encodeRaw,
  isOptionalType,
  maxReasonBytes,
  type OracleMessage,
  type OracleRecord,
  ping,
  pong,
} from "../oracle/codec.ts";
import { goawayCode, goawayNumber, resetCode, resetNumber } from "../oracle/codes.ts";
import { encodeHead as encodeOracleHead } from "../oracle/head.ts";
import type { HandshakeVector, ProofVector } from "../vectors/handshakes.ts";
import { type HeadVector, type MessageVector, makeVectors, readVectors } from "../vectors/make.ts";

const stored = async <T>(file: string): Promise<T[]> =>
  readVectors<T[]>(await Bun.file(new URL(`../vectors/${file}`, import.meta.url)).text());

const messages = await stored<MessageVector>("messages.json");
const malformed = await stored<MessageVector>("malformed.json");
const heads = await stored<HeadVector>("heads.json");
const handshakes = await stored<HandshakeVector>("handshakes.json");
const proofs = await stored<ProofVector>("proofs.json");

/** Handshake messages are read by another reader. */
const afterHandshake = (vector: MessageVector): boolean =>
  !vector.name.startsWith("HELLO") && !vector.name.startsWith("WELCOME");

describe("the stored vectors", () => {
  test("are what the oracle makes today", () => {
    const made = makeVectors();
    expect(messages).toEqual(made["messages.json"]);
    expect(malformed).toEqual(made["malformed.json"]);
    expect(heads).toEqual(made["heads.json"]);
    expect(handshakes).toEqual(made["handshakes.json"]);
    expect(proofs).toEqual(made["proofs.json"]);
  });

  test.each(messages)("$name: the oracle writes what it has read", ({ bytes, decoded }) => {
    expect(decoded.fault).toBeUndefined();
    expect(toHex(encodeMessage(decoded.records))).toBe(bytes);
  });
});

test("the liveness texts are the page's", () => {
  expect([pingText, pongText]).toEqual([ping, pong]);
});

test("the oracle imports nothing but itself", async () => {
  for await (const file of new Bun.Glob("*.ts").scan(new URL("../oracle", import.meta.url).pathname)) {
    const source = await Bun.file(new URL(`../oracle/${file}`, import.meta.url)).text();
    const imports = [...source.matchAll(/\bfrom\s+"([^"]+)"/g)].map(([, path]) => path ?? "");
    expect(imports.filter((path) => !/^\.\/[a-z]+\.ts$/.test(path))).toEqual([]);
  }
});

describe("the core's reader agrees with the oracle on", () => {
  test.each([...messages, ...malformed].filter(afterHandshake))("$name", ({ bytes, decoded }) => {
    const { records, ...rest } = readWithCore(fromHex(bytes));
    expect(rest.fault).toBe(decoded.fault);
    if (decoded.fault === undefined) expect(rest.counted).toBe(decoded.counted);
    expect(records).toEqual(decoded.records.filter(isKnown));
  });

  test("HELLO and WELCOME after the handshake: a protocol error", () => {
    for (const { bytes } of messages.filter((vector) => !afterHandshake(vector)))
      expect(readWithCore(fromHex(bytes)).fault).toBe("protocol-error");
  });
});

describe("the core's writer makes the oracle's bytes of", () => {
  const writable = messages.filter(
    (vector) =>
      afterHandshake(vector) &&
      vector.decoded.records.every((record) => !record.record.startsWith("unknown")),
  );
  test.each(writable)("$name", ({ bytes, decoded }) => {
    expect(toHex(writeWithCore(decoded.records))).toBe(bytes);
  });
});

describe("head fields:", () => {
  test.each(heads)("$name", ({ bytes, decoded }) => {
    const head = decodeHead(fromHex(bytes));
    if (decoded === "head-invalid") {
      expect(head).toBeUndefined();
      return;
    }
    const { http, trailers, visitor } = head ?? {};
    const hex = (value: Uint8Array | undefined) => (value === undefined ? undefined : toHex(value));
    expect({ http: hex(http), trailers: hex(trailers), visitor }).toEqual({
      http: decoded.http,
      trailers: decoded.trailers,
      visitor: decoded.visitor,
    });
    expect(toHex(encodeHead(head ?? {}))).toBe(toHex(encodeOracleHead(decoded)));
  });
});

describe("handshake:", () => {
  test.each(handshakes)("$record, $name", ({ record, json, fault }) => {
    const payload = fromText(JSON.stringify(json));
    const result =
      record === "HELLO" ? readHello(encodeRaw(0x01, payload)) : readWelcome(encodeRaw(0x02, payload));
    if (fault === null) {
      expect(result.kind).toBe("ok");
      if (result.kind === "ok") expect(json).toMatchObject(result.value);
    } else {
      expect(result).toEqual({ kind: "fault", code: fault as "protocol-error" });
    }
  });

  test.each(malformed.filter((vector) => vector.name.startsWith("HELLO")))("$name", ({ bytes, decoded }) => {
    expect(readHello(fromHex(bytes))).toEqual({ kind: "fault", code: decoded.fault ?? "no-error" });
  });

  test("a GOAWAY in place of a WELCOME is understood, and a HELLO in its place is not", () => {
    const refusal = messages.find((vector) => vector.name === "GOAWAY error");
    expect(readWelcome(fromHex(refusal?.bytes ?? ""))).toMatchObject({ kind: "goaway" });
    const hello = messages.find((vector) => vector.name === "HELLO alone");
    expect(readWelcome(fromHex(hello?.bytes ?? ""))).toEqual({ kind: "fault", code: "protocol-error" });
    expect(readHello(new Uint8Array(0))).toEqual({ kind: "fault", code: "protocol-error" });
  });
});

test.each(proofs)("the proof of $name", ({ secret, session, attempt, received, proof }) => {
  const claim = { session, attempt, received };
  expect(prove(secret, claim)).toBe(proof);
  expect(isProof(proof, secret, claim)).toBe(true);
  for (const other of [
    { ...claim, attempt: attempt - 1 },
    { ...claim, received: received + 1 },
    { ...claim, session: `${session}0` },
  ])
    expect(isProof(proof, secret, other)).toBe(false);
  for (let at = 0; at < proof.length; at++) {
    const changed = `${proof.slice(0, at)}${proof[at] === "A" ? "B" : "A"}${proof.slice(at + 1)}`;
    expect(isProof(changed, secret, claim)).toBe(false);
  }
  expect([proof.slice(1), `${proof}A`, ""].some((one) => isProof(one, secret, claim))).toBe(false);
});

function isKnown(record: OracleRecord): boolean {
  if (record.record === "unknown control") return false;
  return record.record !== "unknown frame" || !isOptionalType(record.type);
}

function readWithCore(bytes: Uint8Array): OracleMessage {
  const records: OracleRecord[] = [];
  let counted = false;
  const add = (record: OracleRecord): undefined => {
    records.push(record);
  };
  const handler: MessageHandler = {
    counted: () => {
      counted = true;
      return true;
    },
    ack: (count) => add({ record: "ACK", count }),
    credit: (stream, limit) => {
      const last = records.at(-1);
      if (last?.record === "CREDIT") last.limits.push({ stream, limit });
      else records.push({ record: "CREDIT", limits: [{ stream, limit }] });
      return undefined;
    },
    goaway: (kind, wire, lastStream, graceMs, reason) =>
      add({
        record: "GOAWAY",
        kind: (["drain", "bye", "error"] as const)[kind] ?? "error",
        code: goawayCode(wire),
        lastStream,
        graceMs,
        reason: toText(reason.slice(0, maxReasonBytes)),
      }),
    doubt: (slot) => add({ record: "DOUBT", slot }),
    datagram: (stream, payload) => add({ record: "DATAGRAM", stream, bytes: toHex(payload) }),
    open: (stream, kind, fields) => add({ record: "OPEN", stream, kind, head: toHex(fields) }),
    frame: (type, stream, payload) => {
      if (type === RecordType.left) return add({ record: "LEFT", stream });
      if (type === RecordType.end) return add({ record: "END", stream });
      if (type === RecordType.head) return add({ record: "HEAD", stream, head: toHex(payload) });
      return add({ record: "DATA", stream, bytes: toHex(payload) });
    },
    reset: (stream, wire) => add({ record: "RESET", stream, code: resetCode(wire) }),
    // The core says no more of it.
    unknownFrame: (stream, optional) =>
      optional ? undefined : add({ record: "unknown frame", type: 0x46, stream, bytes: "01" }),
    over: false,
  };
  const fault = readMessage(bytes, handler);
  return { counted, records, ...(fault && { fault: fault as "protocol-error" }) };
}

function writeWithCore(records: OracleRecord[]): Uint8Array {
  const writer = new MessageWriter(65_536);
  for (const record of records) writeRecord(writer, record);
  return writer.finish();
}

function writeRecord(writer: MessageWriter, record: OracleRecord): void {
  switch (record.record) {
    case "ACK":
      writer.ack(record.count);
      return;
    case "CREDIT":
      writer.credit(record.limits.length);
      for (const { stream, limit } of record.limits) writer.creditEntry(stream, limit);
      return;
    case "GOAWAY": {
      const kind = ["drain", "bye", "error"].indexOf(record.kind);
      const { code, lastStream, graceMs, reason } = record;
      writer.goaway(kind, goawayNumber(code), lastStream, graceMs, fromText(reason));
      return;
    }
    case "DATAGRAM":
      writer.datagram(record.stream, fromHex(record.bytes));
      return;
    case "DOUBT":
      writer.doubt(record.slot);
      return;
    case "OPEN":
      writer.open(record.stream, record.kind, fromHex(record.head));
      return;
    case "HEAD":
      writer.frame(RecordType.head, record.stream, fromHex(record.head));
      return;
    case "DATA":
      writer.frame(RecordType.data, record.stream, fromHex(record.bytes));
      return;
    case "END":
      writer.frame(RecordType.end, record.stream);
      return;
    case "LEFT":
      writer.frame(RecordType.left, record.stream);
      return;
    case "RESET":
      writer.reset(record.stream, resetNumber(record.code));
      return;
  }
}
