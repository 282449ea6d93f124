/** Fields that somebody on the way acts on. All others only pass through. */
export const Mark = {
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  upgrade: 5,
  /** The other fields of one hop alone (RFC 9110 section 7.6.1, and older habits). */
  ofThisHop: 6,
  /** Begins as those do that a relay adds, and so may be forged or stand in their place: a name with that letter, long enough. */
  claim: 7,
} as const;

const ascii = new TextEncoder();
const names: readonly (readonly [string, number])[] = [
  ["host", Mark.host],
  ["content-length", Mark.contentLength],
  ["transfer-encoding", Mark.transferEncoding],
  ["connection", Mark.connection],
  ["upgrade", Mark.upgrade],
  ["te", Mark.ofThisHop],
  ["keep-alive", Mark.ofThisHop],
  ["proxy-connection", Mark.ofThisHop],
  ["proxy-authenticate", Mark.ofThisHop],
  ["proxy-authorization", Mark.ofThisHop],
];
/** Nearly all other fields are told apart by their length. */
const byLength: (readonly { readonly word: Uint8Array; readonly mark: number }[])[] = Array.from(
  { length: 20 },
  (_, length) =>
    names
      .filter(([name]) => name.length === length)
      .map(([name, mark]) => ({ word: ascii.encode(name), mark })),
);

const F = 0x66;
const U = 0x75;
const X = 0x78;
const lower = 0x20;
/** Of `forwarded` and `x-real-ip`, the shortest of them. */
const minClaimLength = 9;

/** What the field is whose name, a token, stands there: a `Mark`, or 0. Told by its length where it can be. */
export function markOf(bytes: Uint8Array, from: number, to: number): number {
  const length = to - from;
  const first = (bytes[from] ?? 0) | lower;
  if (length >= minClaimLength && (first === X || first === F || first === U)) return Mark.claim;
  const known = byLength[length];
  if (known !== undefined)
    for (const { word, mark } of known) if (isWordAt(bytes, from, to, word)) return mark;
  return 0;
}

/** Whether that is `word`, of lower-case letters and hyphens, in any case. No control character may stand there. */
export function isWordAt(bytes: Uint8Array, from: number, to: number, word: Uint8Array): boolean {
  if (to - from !== word.length) return false;
  for (let i = 0; i < word.length; i++) if (((bytes[from + i] ?? 0) | lower) !== word[i]) return false;
  return true;
}
