import type { ReadLines } from "./read-head.ts";

/** From here on a copy by the platform is quicker than byte by byte, which needs no view. */
const byPlatformBytes = 256;

/**
 * A head as bytes, less some of its lines, without its empty line: the usual head loses a line or none, so this spares making
 * text of all others and bytes of the text again.
 *
 * `dropped`: rising, in pairs, where in the head's bytes a line begins that is left out, and where the next one does. Writes at
 * `at` in `into`, which has room for it (`keptBytes`). Returns where it ended.
 */
export function copyHead(head: ReadLines, dropped: readonly number[], into: Uint8Array, at: number): number {
  const { bytes, to } = head;
  let from = head.from;
  let end = at;
  for (let i = 0; i < dropped.length; i += 2) {
    end = copy(bytes, from, dropped[i] ?? to, into, end);
    from = dropped[i + 1] ?? to;
  }
  return copy(bytes, from, to, into, end);
}

/** How long a head is without its empty line, and without `dropped`. */
export function keptBytes(head: ReadLines, dropped: readonly number[]): number {
  let length = head.to - head.from;
  for (let i = 0; i < dropped.length; i += 2) length -= (dropped[i + 1] ?? 0) - (dropped[i] ?? 0);
  return length;
}

/** A whole head on its way: `head` as it came, then `lines` (each with CRLF), then the empty line. */
export function closeHead(head: ReadLines, lines = ""): Uint8Array {
  const whole = new Uint8Array(head.to - head.from + lines.length + 2);
  let at = copyHead(head, [], whole, 0);
  for (let i = 0; i < lines.length; i++) whole[at++] = lines.charCodeAt(i);
  whole[at] = 13;
  whole[at + 1] = 10;
  return whole;
}

function copy(bytes: Uint8Array, from: number, to: number, into: Uint8Array, at: number): number {
  if (to - from >= byPlatformBytes) into.set(bytes.subarray(from, to), at);
  else for (let i = from, j = at; i < to; i++, j++) into[j] = bytes[i] ?? 0;
  return at + Math.max(0, to - from);
}
