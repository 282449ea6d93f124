import { copyHead } from "./http1/head-bytes.ts";
import { limits } from "./mux/limits.ts";

/** What an OPEN or HEAD frame carries (PROTOCOL.md section 7). */
export interface HeadFields {
  /** HTTP/1.1 head: start line and field lines, each with CRLF, no empty line. */
  readonly http?: Uint8Array;
  /** Field lines, each with CRLF. */
  readonly trailers?: Uint8Array;
  /** `host:port` that is to be reached: egress. */
  readonly target?: string;
  /** The target is a name that may lead to public addresses only. */
  readonly publicOnly?: boolean;
  /** `address:port` of the visitor. */
  readonly visitor?: string;
  /** `address:port` at which the visitor arrived. */
  readonly local?: string;
}

const tags = {
  http: 0x01,
  trailers: 0x02,
  target: 0x03,
  publicOnly: 0x04,
  visitor: 0x81,
  local: 0x82,
} as const;
const optionalTag = 0x80;
const nothing = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Throws RangeError when the fields are larger than a frame may carry. */
export function encodeHead(head: HeadFields): Uint8Array {
  const text = (value: string | undefined) => (value === undefined ? undefined : encoder.encode(value));
  const parts: readonly (readonly [number, Uint8Array | undefined])[] = [
    [tags.http, head.http],
    [tags.trailers, head.trailers],
    [tags.target, text(head.target)],
    [tags.publicOnly, head.publicOnly === true ? nothing : undefined],
    [tags.visitor, text(head.visitor)],
    [tags.local, text(head.local)],
  ];
  let size = 0;
  for (const [, value] of parts) if (value !== undefined) size += 3 + value.length;
  if (size > limits.maxHeadFieldsBytes) throw new RangeError("head fields are too large for a frame");
  const fields = new Uint8Array(size);
  let at = 0;
  for (const [tag, value] of parts) {
    if (value === undefined) continue;
    fields[at] = tag;
    fields[at + 1] = value.length >>> 8;
    fields[at + 2] = value.length;
    fields.set(value, at + 3);
    at += 3 + value.length;
  }
  return fields;
}

/**
 * The fields of a head whose bytes are there already: `head` less the lines at `places` (shared/http1/head-bytes.ts), then
 * `added` lines. undefined: it is larger than an http field may be.
 */
export function encodeHeadBytes(
  head: Uint8Array,
  places: readonly number[],
  added: Uint8Array,
  visitor?: Uint8Array,
): Uint8Array | undefined {
  const tail = visitor === undefined ? 0 : 3 + visitor.length;
  const fields = new Uint8Array(3 + head.length + added.length + tail);
  let at = copyHead(head, places, fields, 3);
  fields.set(added, at);
  at += added.length;
  const size = at - 3;
  if (size > limits.maxHttpHeadBytes) return undefined;
  fields[0] = tags.http;
  fields[1] = size >>> 8;
  fields[2] = size;
  if (visitor === undefined) return fields.subarray(0, at);
  fields[at] = tags.visitor;
  fields[at + 1] = visitor.length >>> 8;
  fields[at + 2] = visitor.length;
  fields.set(visitor, at + 3);
  return fields.subarray(0, at + tail);
}

/** undefined: not valid (RESET `head-invalid`). */
export function decodeHead(fields: Uint8Array): HeadFields | undefined {
  if (fields.length > limits.maxHeadFieldsBytes) return undefined;
  const head: {
    http?: Uint8Array;
    trailers?: Uint8Array;
    target?: string;
    publicOnly?: boolean;
    visitor?: string;
    local?: string;
  } = {};
  let seen = 0;
  let unknown: Set<number> | undefined;
  for (let at = 0; at < fields.length; ) {
    const tag = fields[at] ?? 0;
    const from = at + 3;
    const to = from + (((fields[at + 1] ?? 0) << 8) | (fields[at + 2] ?? 0));
    if (from > fields.length || to > fields.length) return undefined;
    const value = fields.subarray(from, to);
    const before = seen;
    if (tag === tags.http) {
      head.http = value;
      seen |= 1;
    } else if (tag === tags.trailers) {
      head.trailers = value;
      seen |= 2;
    } else if (tag === tags.visitor) {
      head.visitor = decoder.decode(value);
      seen |= 4;
    } else if (tag === tags.target) {
      if (value.length > limits.maxTargetBytes) return undefined;
      head.target = decoder.decode(value);
      seen |= 8;
    } else if (tag === tags.publicOnly) {
      if (value.length > 0) return undefined;
      head.publicOnly = true;
      seen |= 32;
    } else if (tag === tags.local) {
      head.local = decoder.decode(value);
      seen |= 16;
    } else if ((tag & optionalTag) === 0 || unknown?.has(tag)) return undefined;
    else {
      unknown ??= new Set();
      unknown.add(tag);
      at = to;
      continue;
    }
    if (seen === before) return undefined;
    at = to;
  }
  return head.http !== undefined && head.http.length > limits.maxHttpHeadBytes ? undefined : head;
}
