import { alerts } from "./alert.ts";
import { ClientHelloFault } from "./client-hello-fault.ts";
import { helloLimits } from "./limits.ts";

const handshakeRecord = 22;
const clientHelloMessage = 1;
const recordHeadBytes = 5;
const messageHeadBytes = 4;

/**
 * The body of the ClientHello at the beginning of `bytes`, put together out of the records in which it lies (RFC 8446
 * section 5.1). undefined: not all of it is there yet. What is wrong is told by the first byte that shows it.
 */
export function clientHelloBody(bytes: Uint8Array): Uint8Array | ClientHelloFault | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] !== handshakeRecord) return stranger(bytes);
  const pieces: Uint8Array[] = [];
  let got = 0;
  let end = messageHeadBytes;
  let at = 0;
  for (let records = 1; at <= bytes.length; records++) {
    if (records > helloLimits.maxRecords)
      return new ClientHelloFault(alerts.decodeError, "The ClientHello is cut into too many records.");
    if (end + records * recordHeadBytes > helloLimits.maxBytes)
      return new ClientHelloFault(alerts.decodeError, "The ClientHello is too large.");
    if (at < bytes.length && bytes[at] !== handshakeRecord)
      return new ClientHelloFault(alerts.unexpectedMessage, "Another record interrupts the ClientHello.");
    // The minor number means nothing in a ClientHello's record.
    if (at + 1 < bytes.length && bytes[at + 1] !== 3)
      return new ClientHelloFault(undefined, "The record is of no version of TLS.");
    if (bytes.length < at + recordHeadBytes) return undefined;
    const size = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0);
    if (size === 0) return new ClientHelloFault(alerts.unexpectedMessage, "An empty record.");
    if (size > helloLimits.maxRecordBytes)
      return new ClientHelloFault(alerts.recordOverflow, "A record is too large.");
    at += recordHeadBytes;
    const piece = bytes.subarray(at, at + size);
    pieces.push(piece);
    got += piece.length;
    at += size;
    if (got === 0) continue;
    const [type, high = 0, middle = 0, low = 0] = joined(pieces, messageHeadBytes);
    if (type !== clientHelloMessage)
      return new ClientHelloFault(alerts.unexpectedMessage, "The first message is not a ClientHello.");
    if (got < messageHeadBytes) continue;
    end = messageHeadBytes + ((high << 16) | (middle << 8) | low);
    if (end + records * recordHeadBytes > helloLimits.maxBytes)
      return new ClientHelloFault(alerts.decodeError, "The ClientHello is too large.");
    if (got >= end) return joined(pieces, end).subarray(messageHeadBytes);
  }
  return undefined;
}

/** The first `length` of the pieces' bytes; zeros where there are not as many. */
function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const [first] = pieces;
  if (first !== undefined && first.length >= length) return first.subarray(0, length);
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece.subarray(0, length - at), at);
    at += piece.length;
    if (at >= length) break;
  }
  return all;
}

/** Somebody who does not begin with a record of TLS. */
function stranger(bytes: Uint8Array): ClientHelloFault | undefined {
  if (((bytes[0] ?? 0) & 0x80) === 0) return new ClientHelloFault(undefined, "It is not TLS.");
  if (bytes.length < 3) return undefined;
  // RFC 5246 appendix E.2: the form in which SSLv2 said hello, which RFC 8446 appendix D.5 asks nobody to read.
  return bytes[2] === clientHelloMessage
    ? new ClientHelloFault(alerts.protocolVersion, "A ClientHello of SSLv2.")
    : new ClientHelloFault(undefined, "It is not TLS.");
}
