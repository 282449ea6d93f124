/** Head fields of OPEN and HEAD: section 7 of PROTOCOL.md, naively. */
import { fromHex, fromText, integer, join, Reader, toHex, toText } from "./bytes.ts";

export interface OracleHead {
  /** Hex. */
  http?: string;
  /** Hex. */
  trailers?: string;
  target?: string;
  publicOnly?: boolean;
  visitor?: string;
  local?: string;
}

const tags = {
  http: 0x01,
  trailers: 0x02,
  target: 0x03,
  publicOnly: 0x04,
  visitor: 0x81,
  local: 0x82,
} as const;
const optionalBit = 0x80;
const maxHttpBytes = 32_768;
const maxTargetBytes = 300;
const maxFieldsBytes = 40_960;

export function encodeRawField(tag: number, value: Uint8Array): Uint8Array {
  return join(integer(1, tag), integer(2, value.length), value);
}

export function encodeHead(head: OracleHead): Uint8Array {
  const parts: Uint8Array[] = [];
  if (head.http !== undefined) parts.push(encodeRawField(tags.http, fromHex(head.http)));
  if (head.trailers !== undefined) parts.push(encodeRawField(tags.trailers, fromHex(head.trailers)));
  if (head.target !== undefined) parts.push(encodeRawField(tags.target, fromText(head.target)));
  if (head.publicOnly === true) parts.push(encodeRawField(tags.publicOnly, new Uint8Array(0)));
  if (head.visitor !== undefined) parts.push(encodeRawField(tags.visitor, fromText(head.visitor)));
  if (head.local !== undefined) parts.push(encodeRawField(tags.local, fromText(head.local)));
  return join(...parts);
}

/** The fields, or the code of the RESET that they must be answered with. Whether `http` is valid HTTP is not looked at. */
export function decodeHead(fields: Uint8Array): OracleHead | "head-invalid" {
  if (fields.length > maxFieldsBytes) return "head-invalid";
  const head: OracleHead = {};
  const seen = new Set<number>();
  const reader = new Reader(fields);
  while (reader.left > 0) {
    if (reader.left < 3) return "head-invalid";
    const tag = reader.number(1);
    const length = reader.number(2);
    if (length > reader.left) return "head-invalid";
    const value = reader.take(length);
    if (seen.has(tag)) return "head-invalid";
    seen.add(tag);
    if (tag === tags.http) {
      if (value.length > maxHttpBytes) return "head-invalid";
      head.http = toHex(value);
    } else if (tag === tags.trailers) head.trailers = toHex(value);
    else if (tag === tags.target) {
      if (value.length > maxTargetBytes) return "head-invalid";
      head.target = toText(value);
    } else if (tag === tags.publicOnly) {
      if (value.length > 0) return "head-invalid";
      head.publicOnly = true;
    } else if (tag === tags.visitor) head.visitor = toText(value);
    else if (tag === tags.local) head.local = toText(value);
    else if ((tag & optionalBit) === 0) return "head-invalid";
  }
  return head;
}
