import { limits } from "../../shared/mux/limits.ts";

/** The head fields that stand first on streams between relays, and nowhere else (PROTOCOL.md section 9). */
export const hopTags = { tunnel: 0x05, link: 0x06 } as const;

export interface TakenField {
  readonly tag: number;
  readonly value: Uint8Array;
  /** What stands behind it, a view: what an agent gets. */
  readonly rest: Uint8Array;
}

const headerBytes = 3;

/** Puts a field before those that are there. Throws RangeError when that is more than a frame may carry. */
export function putFirst(tag: number, value: Uint8Array, rest: Uint8Array): Uint8Array {
  const size = headerBytes + value.length + rest.length;
  if (value.length > 0xffff || size > limits.maxHeadFieldsBytes)
    throw new RangeError("head fields are too large for a frame");
  const fields = new Uint8Array(size);
  fields.set([tag, value.length >>> 8, value.length & 0xff]);
  fields.set(value, headerBytes);
  fields.set(rest, headerBytes + value.length);
  return fields;
}

/** undefined: there is no whole field. */
export function takeFirst(fields: Uint8Array): TakenField | undefined {
  const [tag = 0, high = 0, low = 0] = fields;
  const end = headerBytes + ((high << 8) | low);
  if (fields.length < headerBytes || fields.length < end) return undefined;
  return { tag, value: fields.subarray(headerBytes, end), rest: fields.subarray(end) };
}
