/** Section 8 of PROTOCOL.md, typed off the page. */
const resetCodes = [
  "no-error",
  "cancelled",
  "origin-refused",
  "origin-closed",
  "origin-invalid",
  "origin-timeout",
  "stream-state",
  "head-invalid",
  "kind-unknown",
  "too-many-streams",
  "frame-unknown",
  "link-lost",
  "stream-failed",
  "origin-unreachable",
  "origin-not-found",
  "egress-denied",
  "agent-offline",
  "unknown-tunnel",
  "connect-denied",
  "agent-elsewhere",
] as const;

const goawayCodes = [
  "protocol-error",
  "flow-control-error",
  "message-too-big",
  "record-unknown",
  "too-many-resets",
  "version-unsupported",
  "handshake-timeout",
  "going-away",
  "goodbye",
  "superseded",
  "token-expired",
  "internal-error",
  "peer-silent",
  "proof-invalid",
  "session-gone",
  "kind-forbidden",
  "name-taken",
  "registry-unreachable",
  "session-elsewhere",
] as const;

export type ResetCode = (typeof resetCodes)[number];
export type GoawayCode = (typeof goawayCodes)[number];

const firstGoawayNumber = 32;

export function resetNumber(code: ResetCode): number {
  return resetCodes.indexOf(code);
}

/** "An unknown number is treated as `stream-failed`." */
export function resetCode(wire: number): ResetCode {
  return resetCodes[wire] ?? "stream-failed";
}

export function goawayNumber(code: GoawayCode): number {
  return firstGoawayNumber + goawayCodes.indexOf(code);
}

/** "... in GOAWAY as `internal-error`." */
export function goawayCode(wire: number): GoawayCode {
  return goawayCodes[wire - firstGoawayNumber] ?? "internal-error";
}
