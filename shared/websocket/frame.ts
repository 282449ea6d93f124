import { applyMask } from "./mask.ts";

/** Opcodes of RFC 6455 section 5.2. */
export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export type Opcode = (typeof opcodes)[keyof typeof opcodes];

/** RFC 6455 section 5.5. */
export const maxControlBytes = 125;

const finBit = 0x80;
const maskBit = 0x80;

/** Bytes that a frame's header takes. */
export function frameHeaderLength(payloadBytes: number, masked: boolean): number {
  const base = payloadBytes < 126 ? 2 : payloadBytes < 65_536 ? 4 : 10;
  return masked ? base + 4 : base;
}

/** Writes the header of a whole (unfragmented) message's frame at `at`; returns where the payload begins. */
function writeHeader(out: Uint8Array, at: number, opcode: Opcode, length: number, key?: number): number {
  const mask = key === undefined ? 0 : maskBit;
  out[at++] = finBit | opcode;
  if (length < 126) {
    out[at++] = mask | length;
  } else if (length < 65_536) {
    out[at++] = mask | 126;
    out[at++] = length >>> 8;
    out[at++] = length;
  } else {
    out[at++] = mask | 127;
    const high = Math.floor(length / 2 ** 32);
    for (const half of [high, length]) {
      out[at++] = half >>> 24;
      out[at++] = half >>> 16;
      out[at++] = half >>> 8;
      out[at++] = half;
    }
  }
  if (key !== undefined) {
    out[at++] = key;
    out[at++] = key >>> 8;
    out[at++] = key >>> 16;
    out[at++] = key >>> 24;
  }
  return at;
}

/** The header alone, of a frame whose payload (masked with `key`) is sent behind it. */
export function encodeHeader(opcode: Opcode, length: number, key: number): Uint8Array {
  const header = new Uint8Array(frameHeaderLength(length, true));
  writeHeader(header, 0, opcode, length, key);
  return header;
}

/** The longest header, and what puts the payload behind it on a word border. */
export const maxHeaderBytes = 16;

/**
 * A whole frame in one buffer: one copy, and the masking in place where the payload lies on a word border. `room`: a
 * buffer to use again, `maxHeaderBytes` larger than the payload at least; else a fresh one is made.
 */
export function encodeFrame(
  opcode: Opcode,
  payload: Uint8Array,
  key?: number,
  room?: Uint8Array,
): Uint8Array {
  const headerBytes = frameHeaderLength(payload.length, key !== undefined);
  const pad = (4 - (headerBytes & 3)) & 3;
  const size = pad + headerBytes + payload.length;
  const out = room === undefined ? new Uint8Array(size) : room.subarray(0, size);
  const start = writeHeader(out, pad, opcode, payload.length, key);
  out.set(payload, start);
  if (key !== undefined) applyMask(out.subarray(start), key);
  return pad === 0 ? out : out.subarray(pad);
}

/** The payload of a close frame. The reason is cut to what fits, on a character's border. */
export function closePayload(code: number, reason: string): Uint8Array {
  // 1005 and 1006 stand for "none" and are never sent (RFC 6455 section 7.4.1).
  if (code === 1005 || code === 1006) return new Uint8Array(0);
  const payload = new Uint8Array(maxControlBytes);
  payload[0] = code >>> 8;
  payload[1] = code;
  const { written } = new TextEncoder().encodeInto(reason, payload.subarray(2));
  return payload.subarray(0, 2 + written);
}

/** Whether a peer may send `code` in a close frame: RFC 6455 section 7.4 and the IANA registry. */
export function isCloseCode(code: number): boolean {
  if (code >= 3_000 && code <= 4_999) return true;
  return code >= 1_000 && code <= 1_014 && code !== 1_004 && code !== 1_005 && code !== 1_006;
}
