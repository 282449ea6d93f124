/** Why a TLS handshake can't go on: the descriptions of RFC 8446 section 6.2 that a relay has a use for. */
export const alerts = {
  unexpectedMessage: 10,
  recordOverflow: 22,
  illegalParameter: 47,
  decodeError: 50,
  protocolVersion: 70,
  internalError: 80,
  unrecognizedName: 112,
} as const;

export type Alert = (typeof alerts)[keyof typeof alerts];

const alertRecord = 21;
const fatal = 2;

/**
 * A fatal alert as the first and only record of this side, in the clear, as no keys are agreed yet. Its version is
 * TLS 1.2's, which is what every version since says in a record (RFC 8446 section 5.1) and what older ones accept.
 */
export function fatalAlert(description: Alert): Uint8Array {
  return Uint8Array.of(alertRecord, 3, 3, 0, 2, fatal, description);
}
