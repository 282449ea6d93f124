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
const words = {
  te: ascii.encode("te"),
  host: ascii.encode("host"),
  upgrade: ascii.encode("upgrade"),
  connection: ascii.encode("connection"),
  keepAlive: ascii.encode("keep-alive"),
  contentLength: ascii.encode("content-length"),
  proxyConnection: ascii.encode("proxy-connection"),
  transferEncoding: ascii.encode("transfer-encoding"),
  proxyAuthenticate: ascii.encode("proxy-authenticate"),
  proxyAuthorization: ascii.encode("proxy-authorization"),
};

const C = 0x63;
const F = 0x66;
const U = 0x75;
const X = 0x78;
const lower = 0x20;
/** Of `forwarded` and `x-real-ip`, the shortest of them. */
const minClaimLength = 9;

/** What the field is whose name, a token, stands there: a `Mark`, or 0. Told by its length and first letter where it can be. */
export function markOf(bytes: Uint8Array, from: number, to: number): number {
  const length = to - from;
  const first = (bytes[from] ?? 0) | lower;
  if (length >= minClaimLength && (first === X || first === F || first === U)) return Mark.claim;
  switch (length) {
    case 2:
      return isWordAt(bytes, from, to, words.te) ? Mark.ofThisHop : 0;
    case 4:
      return isWordAt(bytes, from, to, words.host) ? Mark.host : 0;
    case 7:
      return isWordAt(bytes, from, to, words.upgrade) ? Mark.upgrade : 0;
    case 10:
      if (first === C) return isWordAt(bytes, from, to, words.connection) ? Mark.connection : 0;
      return isWordAt(bytes, from, to, words.keepAlive) ? Mark.ofThisHop : 0;
    case 14:
      return isWordAt(bytes, from, to, words.contentLength) ? Mark.contentLength : 0;
    case 16:
      return isWordAt(bytes, from, to, words.proxyConnection) ? Mark.ofThisHop : 0;
    case 17:
      return isWordAt(bytes, from, to, words.transferEncoding) ? Mark.transferEncoding : 0;
    case 18:
      return isWordAt(bytes, from, to, words.proxyAuthenticate) ? Mark.ofThisHop : 0;
    case 19:
      return isWordAt(bytes, from, to, words.proxyAuthorization) ? Mark.ofThisHop : 0;
    default:
      return 0;
  }
}

/** Whether that is `word`, of lower-case letters and hyphens, in any case. No control character may stand there. */
export function isWordAt(bytes: Uint8Array, from: number, to: number, word: Uint8Array): boolean {
  if (to - from !== word.length) return false;
  for (let i = 0; i < word.length; i++) if (((bytes[from + i] ?? 0) | lower) !== word[i]) return false;
  return true;
}
