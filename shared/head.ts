import { copyHead, keptBytes } from "./http1/head-bytes.ts";
import type { ReadLines } from "./http1/read-head.ts";
import { limits } from "./mux/limits.ts";

/** What an OPEN or HEAD frame carries (PROTOCOL.md section 7). */
export interface HeadFields {
  /** HTTP/1.1 head: start line and field lines, each with CRLF, no empty line. */
  readonly http?: Uint8Array | undefined;
  /** Field lines, each with CRLF. */
  readonly trailers?: Uint8Array | undefined;
  /** `host:port` that is to be reached: egress. */
  readonly target?: string | undefined;
  /** The target is a name that may lead to public addresses only. */
  readonly publicOnly?: boolean;
  /** `address:port` of the visitor. */
  readonly visitor?: string | undefined;
  /** `address:port` at which the visitor arrived. */
  readonly local?: string | undefined;
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
    fields.set(value, writeTag(fields, at, tag, value.length));
    at += 3 + value.length;
  }
  return fields;
}

/**
 * The fields of an HTTP head whose bytes are there already: `head` less the `dropped` lines (shared/http1/head-bytes.ts), then
 * `added` lines. undefined: it is larger than an http field may be.
 */
export function encodeHeadBytes(
  head: ReadLines,
  dropped: readonly number[],
  added: Uint8Array,
  visitor?: Uint8Array,
): Uint8Array | undefined {
  const size = keptBytes(head, dropped) + added.length;
  if (size > limits.maxHttpHeadBytes) return undefined;
  // Of its very length: a view of a larger one would cost as much as all of this.
  const fields = new Uint8Array(3 + size + (visitor === undefined ? 0 : 3 + visitor.length));
  let at = writeTag(fields, 0, tags.http, size);
  at = copyHead(head, dropped, fields, at);
  fields.set(added, at);
  if (visitor !== undefined)
    fields.set(visitor, writeTag(fields, at + added.length, tags.visitor, visitor.length));
  return fields;
}

function writeTag(fields: Uint8Array, at: number, tag: number, length: number): number {
  fields[at] = tag;
  fields[at + 1] = length >>> 8;
  fields[at + 2] = length;
  return at + 3;
}

/** Fields that came; values are taken out of their bytes when they are asked for. */
export class DecodedHead implements HeadFields {
  publicOnly?: true;
  /** Where the values begin; 0: it was not sent. Each ends as long behind as stands before it. */
  httpFrom = 0;
  trailersFrom = 0;
  targetFrom = 0;
  visitorFrom = 0;
  localFrom = 0;

  constructor(readonly bytes: Uint8Array) {}

  get http(): Uint8Array | undefined {
    return this.value(this.httpFrom);
  }
  get trailers(): Uint8Array | undefined {
    return this.value(this.trailersFrom);
  }
  get target(): string | undefined {
    return this.text(this.targetFrom);
  }
  get visitor(): string | undefined {
    return this.text(this.visitorFrom);
  }
  get local(): string | undefined {
    return this.text(this.localFrom);
  }
  /** Where the HTTP head ends that begins at `httpFrom`. */
  get httpTo(): number {
    return this.httpFrom + lengthBefore(this.bytes, this.httpFrom);
  }
  /** It has no field that is known. */
  get isEmpty(): boolean {
    const { httpFrom, trailersFrom, targetFrom, visitorFrom, localFrom, publicOnly } = this;
    return httpFrom + trailersFrom + targetFrom + visitorFrom + localFrom === 0 && publicOnly === undefined;
  }

  private value(from: number): Uint8Array | undefined {
    return from === 0 ? undefined : this.bytes.subarray(from, from + lengthBefore(this.bytes, from));
  }

  private text(from: number): string | undefined {
    const value = this.value(from);
    return value === undefined ? undefined : decoder.decode(value);
  }
}

/** undefined: not valid (RESET `head-invalid`). */
export function decodeHead(fields: Uint8Array): DecodedHead | undefined {
  if (fields.length > limits.maxHeadFieldsBytes) return undefined;
  const head = new DecodedHead(fields);
  let seen = 0;
  let unknown: Set<number> | undefined;
  for (let at = 0; at < fields.length; ) {
    const tag = fields[at] ?? 0;
    const from = at + 3;
    if (from > fields.length) return undefined;
    const length = lengthBefore(fields, from);
    at = from + length;
    if (at > fields.length) return undefined;
    const before = seen;
    if (tag === tags.http) {
      if (length > limits.maxHttpHeadBytes) return undefined;
      head.httpFrom = from;
      seen |= 1;
    } else if (tag === tags.trailers) {
      head.trailersFrom = from;
      seen |= 2;
    } else if (tag === tags.visitor) {
      head.visitorFrom = from;
      seen |= 4;
    } else if (tag === tags.target) {
      if (length > limits.maxTargetBytes) return undefined;
      head.targetFrom = from;
      seen |= 8;
    } else if (tag === tags.publicOnly) {
      if (length > 0) return undefined;
      head.publicOnly = true;
      seen |= 32;
    } else if (tag === tags.local) {
      head.localFrom = from;
      seen |= 16;
    } else if ((tag & optionalTag) === 0 || unknown?.has(tag)) return undefined;
    else {
      unknown ??= new Set();
      unknown.add(tag);
      continue;
    }
    if (seen === before) return undefined;
  }
  return head;
}

function lengthBefore(bytes: Uint8Array, from: number): number {
  return ((bytes[from - 2] ?? 0) << 8) | (bytes[from - 1] ?? 0);
}
