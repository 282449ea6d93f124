import type { Code } from "../errors.ts";
import { frameBit, optionalBit, RecordType, readCount, readU16, readU24, readU32 } from "./frame.ts";
import { limits } from "./limits.ts";

/** What a message holds, record by record. A returned code is a session error and ends the reading. */
export interface MessageHandler {
  /** Called once, before the first frame, of a message that has frames. false: they were received before; skip them. */
  counted(): boolean;
  ack(count: number): Code | undefined;
  credit(id: number, limit: number): Code | undefined;
  goaway(
    kind: number,
    wireCode: number,
    lastId: number,
    graceMs: number,
    reason: Uint8Array,
  ): Code | undefined;
  datagram(id: number, payload: Uint8Array): Code | undefined;
  /** The peer suspects the link of this slot of ours. */
  doubt(slot: number): void;
  open(id: number, kind: number, fields: Uint8Array): Code | undefined;
  /** HEAD, DATA, END and LEFT. `payload` is what follows the stream id. */
  frame(type: number, id: number, payload: Uint8Array): Code | undefined;
  reset(id: number, wireCode: number): Code | undefined;
  /** A frame of a type that is not known. */
  unknownFrame(id: number, optional: boolean): Code | undefined;
  /** The session has ended, be it by a record of this very message: no more is read. */
  readonly over: boolean;
}

const nothing = new Uint8Array(0);
const { ack, credit, goaway, datagram, open, head, data, end, reset, left } = RecordType;

/** Reads a binary message after the handshake (PROTOCOL.md section 2). Never throws; returns the session error if any. */
export function readMessage(bytes: Uint8Array, handler: MessageHandler): Code | undefined {
  const size = bytes.length;
  if (size > limits.maxMessageBytes) return "message-too-big";
  if (size === 0) return "protocol-error";
  let at = 0;
  let frames = false;
  while (at < size && !handler.over) {
    if (size - at < 4) return "protocol-error";
    const type = bytes[at] ?? 0;
    const from = at + 4;
    at = from + readU24(bytes, at + 1);
    if (at > size) return "protocol-error";
    let fault: Code | undefined;
    if ((type & frameBit) !== 0) {
      if (at - from < 4) return "protocol-error";
      if (!frames) {
        frames = true;
        if (!handler.counted()) return undefined;
      }
      fault = readFrame(type, bytes, from, at, handler);
    } else {
      if (frames) return "protocol-error";
      fault = readControl(type, bytes, from, at, handler);
    }
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function readFrame(
  type: number,
  bytes: Uint8Array,
  from: number,
  to: number,
  handler: MessageHandler,
): Code | undefined {
  const id = readU32(bytes, from);
  const rest = from + 4;
  switch (type) {
    case data:
    case head:
      return handler.frame(type, id, bytes.subarray(rest, to));
    case open:
      return rest === to
        ? "protocol-error"
        : handler.open(id, bytes[rest] ?? 0, bytes.subarray(rest + 1, to));
    case end:
    case left:
      return handler.frame(type, id, nothing);
    case reset:
      return to - rest < 2 ? "protocol-error" : handler.reset(id, readU16(bytes, rest));
    default:
      return handler.unknownFrame(id, (type & optionalBit) !== 0);
  }
}

function readControl(
  type: number,
  bytes: Uint8Array,
  from: number,
  to: number,
  handler: MessageHandler,
): Code | undefined {
  const length = to - from;
  switch (type) {
    case ack: {
      const count = length < 8 ? Number.NaN : readCount(bytes, from);
      return Number.isNaN(count) ? "protocol-error" : handler.ack(count);
    }
    case credit:
      if (length === 0 || length % 12 !== 0) return "protocol-error";
      for (let at = from; at < to; at += 12) {
        const limit = readCount(bytes, at + 4);
        const fault = Number.isNaN(limit) ? "protocol-error" : handler.credit(readU32(bytes, at), limit);
        if (fault !== undefined) return fault;
      }
      return undefined;
    case goaway:
      if (length < 12) return "protocol-error";
      return handler.goaway(
        bytes[from] ?? 0,
        readU16(bytes, from + 2),
        readU32(bytes, from + 4),
        readU32(bytes, from + 8),
        bytes.subarray(from + 12, Math.min(to, from + 12 + limits.maxReasonBytes)),
      );
    case datagram:
      if (length < 4 || length > 4 + limits.maxDatagramBytes) return "protocol-error";
      return handler.datagram(readU32(bytes, from), bytes.subarray(from + 4, to));
    case RecordType.doubt:
      if (length > 0) handler.doubt(bytes[from] ?? 0);
      return undefined;
    case RecordType.hello:
    case RecordType.welcome:
      return "protocol-error";
    default:
      return (type & optionalBit) !== 0 ? undefined : "record-unknown";
  }
}
