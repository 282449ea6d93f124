/**
 * Bytes that are to be kept for a while: a small view would keep the whole of what was read with it, and becomes a copy.
 * Never a Buffer's `slice`, which is a view again.
 */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.buffer.byteLength > 4 * bytes.length + 1_024
    ? new Uint8Array(bytes)
    : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The same where they may wait for long for somebody who is hostile: what is kept is never more than twice the bytes. */
export function lastingBytes(bytes: Uint8Array): Uint8Array {
  return bytes.buffer.byteLength > 2 * bytes.length ? new Uint8Array(bytes) : bytes;
}
