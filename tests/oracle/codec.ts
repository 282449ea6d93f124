/**
 * A second codec of the Underpass protocol, written from PROTOCOL.md alone. It imports nothing of the product and is
 * slow on purpose: one way to read each sentence of the page, to hold the real codec against. Bytes are hex strings in
 * what it decodes, so that a decoded message is plain JSON.
 */
import { fromHex, fromText, integer, join, Reader, toHex, toText } from "./bytes.ts";
import {
  type GoawayCode,
  goawayCode,
  goawayNumber,
  type ResetCode,
  resetCode,
  resetNumber,
} from "./codes.ts";

export type OracleRecord =
  | { record: "HELLO"; hello: unknown }
  | { record: "WELCOME"; welcome: unknown }
  | { record: "ACK"; count: number }
  | { record: "CREDIT"; limits: { stream: number; limit: number }[] }
  | {
      record: "GOAWAY";
      kind: "drain" | "bye" | "error";
      code: GoawayCode;
      lastStream: number;
      graceMs: number;
      reason: string;
    }
  | { record: "DATAGRAM"; stream: number; bytes: string }
  | { record: "DOUBT"; slot: number }
  | { record: "OPEN"; stream: number; kind: number; head: string }
  | { record: "HEAD"; stream: number; head: string }
  | { record: "DATA"; stream: number; bytes: string }
  | { record: "END"; stream: number }
  | { record: "RESET"; stream: number; code: ResetCode }
  | { record: "LEFT"; stream: number }
  | { record: "unknown control"; type: number; bytes: string }
  | { record: "unknown frame"; type: number; stream: number; bytes: string };

export interface OracleMessage {
  /** Holds at least one frame, so that it has a number (section 2). */
  counted: boolean;
  /** What came before the fault, if there is one. */
  records: OracleRecord[];
  /** The code of the GOAWAY that this message must be answered with. */
  fault?: GoawayCode;
}

export const maxMessageBytes = 65_536;
export const maxHandshakeBytes = 16_384;
export const maxDatagramBytes = 65_507;
export const maxReasonBytes = 1_024;
export const maxIntegerExclusive = 2n ** 53n;
export const ping = "underpass/1 ping 8f1b2c6d-keepalive";
export const pong = "underpass/1 pong 8f1b2c6d-keepalive";

const frameBit = 0x40;
const optionalBit = 0x80;
const goawayKinds = ["drain", "bye", "error"] as const;

const types = {
  HELLO: 0x01,
  WELCOME: 0x02,
  ACK: 0x03,
  CREDIT: 0x04,
  GOAWAY: 0x05,
  DATAGRAM: 0x06,
  DOUBT: 0x87,
  OPEN: 0x41,
  HEAD: 0x42,
  DATA: 0x43,
  END: 0x44,
  RESET: 0x45,
  LEFT: 0xc6,
} as const;

export function isFrameType(type: number): boolean {
  return (type & frameBit) !== 0;
}

const controlRecords = [
  "HELLO",
  "WELCOME",
  "ACK",
  "CREDIT",
  "GOAWAY",
  "DATAGRAM",
  "DOUBT",
  "unknown control",
];

export function isFrame({ record }: OracleRecord): boolean {
  return !controlRecords.includes(record);
}

export function isOptionalType(type: number): boolean {
  return (type & optionalBit) !== 0;
}

/** `type u8 | length u24 | payload`. */
export function encodeRaw(type: number, payload: Uint8Array): Uint8Array {
  return join(integer(1, type), integer(3, payload.length), payload);
}

export function encodeRecord(record: OracleRecord): Uint8Array {
  switch (record.record) {
    case "HELLO":
      return encodeRaw(types.HELLO, fromText(JSON.stringify(record.hello)));
    case "WELCOME":
      return encodeRaw(types.WELCOME, fromText(JSON.stringify(record.welcome)));
    case "ACK":
      return encodeRaw(types.ACK, integer(8, record.count));
    case "CREDIT": {
      const entries = record.limits.map(({ stream, limit }) => join(integer(4, stream), integer(8, limit)));
      return encodeRaw(types.CREDIT, join(...entries));
    }
    case "GOAWAY":
      return encodeRaw(
        types.GOAWAY,
        join(
          integer(1, goawayKinds.indexOf(record.kind)),
          integer(1, 0),
          integer(2, goawayNumber(record.code)),
          integer(4, record.lastStream),
          integer(4, record.graceMs),
          fromText(record.reason),
        ),
      );
    case "DATAGRAM":
      return encodeRaw(types.DATAGRAM, join(integer(4, record.stream), fromHex(record.bytes)));
    case "DOUBT":
      return encodeRaw(types.DOUBT, integer(1, record.slot));
    case "OPEN":
      return encodeRaw(
        types.OPEN,
        join(integer(4, record.stream), integer(1, record.kind), fromHex(record.head)),
      );
    case "HEAD":
      return encodeRaw(types.HEAD, join(integer(4, record.stream), fromHex(record.head)));
    case "DATA":
      return encodeRaw(types.DATA, join(integer(4, record.stream), fromHex(record.bytes)));
    case "END":
      return encodeRaw(types.END, integer(4, record.stream));
    case "RESET":
      return encodeRaw(types.RESET, join(integer(4, record.stream), integer(2, resetNumber(record.code))));
    case "LEFT":
      return encodeRaw(types.LEFT, integer(4, record.stream));
    case "unknown control":
      return encodeRaw(record.type, fromHex(record.bytes));
    case "unknown frame":
      return encodeRaw(record.type, join(integer(4, record.stream), fromHex(record.bytes)));
  }
}

export function encodeMessage(records: OracleRecord[]): Uint8Array {
  return join(...records.map(encodeRecord));
}

/** A binary message, record by record, up to its first fault. What depends on the session's state is in session.ts. */
export function decodeMessage(bytes: Uint8Array): OracleMessage {
  const message: OracleMessage = { counted: false, records: [] };
  const fail = (fault: GoawayCode): OracleMessage => ({ ...message, fault });
  if (bytes.length > maxMessageBytes) return fail("message-too-big");
  if (bytes.length === 0) return fail("protocol-error");
  const reader = new Reader(bytes);
  while (reader.left > 0) {
    if (reader.left < 4) return fail("protocol-error");
    const type = reader.number(1);
    const length = reader.number(3);
    if (length > reader.left) return fail("protocol-error");
    const payload = reader.take(length);
    if (isFrameType(type)) message.counted = true;
    else if (message.counted) return fail("protocol-error");
    const record = isFrameType(type) ? decodeFrame(type, payload) : decodeControl(type, payload);
    if (typeof record === "string") return fail(record);
    const shakesHands = (one: OracleRecord) => one.record === "HELLO" || one.record === "WELCOME";
    const first = message.records[0];
    if (first !== undefined && (shakesHands(first) || shakesHands(record))) return fail("protocol-error");
    message.records.push(record);
  }
  return message;
}

/** What a message holds from its first frame on: the part that is sent again after a resume (section 3.1, step 5). */
export function framesOf(bytes: Uint8Array): Uint8Array {
  let at = 0;
  while (at < bytes.length) {
    const header = new Reader(bytes.slice(at, at + 4));
    if (isFrameType(header.number(1))) break;
    at += 4 + header.number(3);
  }
  return bytes.slice(at);
}

function decodeControl(type: number, payload: Uint8Array): OracleRecord | GoawayCode {
  const reader = new Reader(payload);
  switch (type) {
    case types.HELLO:
    case types.WELCOME: {
      if (payload.length > maxHandshakeBytes) return "message-too-big";
      const json = parseJson(payload);
      if (json === undefined) return "protocol-error";
      return type === types.HELLO ? { record: "HELLO", hello: json } : { record: "WELCOME", welcome: json };
    }
    case types.ACK: {
      if (payload.length < 8) return "protocol-error";
      const count = reader.integer(8);
      return count < maxIntegerExclusive ? { record: "ACK", count: Number(count) } : "protocol-error";
    }
    case types.CREDIT: {
      if (payload.length === 0 || payload.length % 12 !== 0) return "protocol-error";
      const limits: { stream: number; limit: number }[] = [];
      while (reader.left > 0) {
        const stream = reader.number(4);
        const limit = reader.integer(8);
        if (limit >= maxIntegerExclusive) return "protocol-error";
        limits.push({ stream, limit: Number(limit) });
      }
      return { record: "CREDIT", limits };
    }
    case types.GOAWAY: {
      if (payload.length < 12) return "protocol-error";
      const kind = goawayKinds[reader.number(1)] ?? "error";
      reader.take(1);
      const code = goawayCode(reader.number(2));
      const lastStream = reader.number(4);
      const graceMs = reader.number(4);
      const reason = toText(reader.rest().slice(0, maxReasonBytes));
      return { record: "GOAWAY", kind, code, lastStream, graceMs, reason };
    }
    case types.DATAGRAM: {
      if (payload.length < 4 || payload.length > 4 + maxDatagramBytes) return "protocol-error";
      return { record: "DATAGRAM", stream: reader.number(4), bytes: toHex(reader.rest()) };
    }
    case types.DOUBT:
      // "A DOUBT without its slot is ignored": as if it were unknown.
      if (payload.length === 0) return { record: "unknown control", type, bytes: "" };
      return { record: "DOUBT", slot: reader.number(1) };
    default:
      return isOptionalType(type)
        ? { record: "unknown control", type, bytes: toHex(payload) }
        : "record-unknown";
  }
}

function decodeFrame(type: number, payload: Uint8Array): OracleRecord | GoawayCode {
  if (payload.length < 4) return "protocol-error";
  const reader = new Reader(payload);
  const stream = reader.number(4);
  switch (type) {
    case types.OPEN:
      if (reader.left < 1) return "protocol-error";
      return { record: "OPEN", stream, kind: reader.number(1), head: toHex(reader.rest()) };
    case types.HEAD:
      return { record: "HEAD", stream, head: toHex(reader.rest()) };
    case types.DATA:
      return { record: "DATA", stream, bytes: toHex(reader.rest()) };
    case types.END:
      return { record: "END", stream };
    case types.RESET:
      if (reader.left < 2) return "protocol-error";
      return { record: "RESET", stream, code: resetCode(reader.number(2)) };
    case types.LEFT:
      return { record: "LEFT", stream };
    default:
      return { record: "unknown frame", type, stream, bytes: toHex(reader.rest()) };
  }
}

/** undefined: not UTF-8, not JSON, or no object. */
function parseJson(bytes: Uint8Array): object | undefined {
  try {
    const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return typeof json === "object" && json !== null && !Array.isArray(json) ? json : undefined;
  } catch {
    // Not UTF-8 or not JSON: both are the peer's fault.
    return undefined;
  }
}
