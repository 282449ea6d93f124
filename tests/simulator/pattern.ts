/** Prime, so that no piece of a message falls in step with it. */
const periodBytes = 65_521;
const maxPieceBytes = 262_144;

/** Enough of the pattern, twice around, for a view of any piece that begins anywhere in the period. */
const table = makeTable();

function makeTable(): Buffer {
  const bytes = Buffer.alloc(periodBytes + maxPieceBytes);
  let state = 0x9e3779b9;
  for (let at = 0; at < periodBytes; at++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5;
    bytes[at] = state >>> 24;
  }
  for (let at = periodBytes; at < bytes.length; at++) bytes[at] = bytes[at - periodBytes] ?? 0;
  return bytes;
}

/** Where the bytes of `key` begin: another place for each exchange and direction. */
function start(key: number, offset: number): number {
  return ((Math.imul(key + 1, 0x45d9f3b) >>> 0) + offset) % periodBytes;
}

/** The bytes from `offset` of what is said under `key`: a view, never to be written. */
export function patternBytes(key: number, offset: number, size: number): Uint8Array {
  const from = start(key, offset);
  return table.subarray(from, from + size);
}

/** Whether `bytes` are those from `offset` of what is said under `key`. */
export function isPattern(bytes: Uint8Array, key: number, offset: number): boolean {
  const from = start(key, offset);
  return table.compare(bytes, 0, bytes.length, from, from + bytes.length) === 0;
}
