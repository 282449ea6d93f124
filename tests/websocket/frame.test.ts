import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { closePayload, encodeFrame, frameHeaderLength, opcodes } from "../../shared/websocket/frame.ts";
import { FrameReader } from "../../shared/websocket/frame-reader.ts";
import { applyMask } from "../../shared/websocket/mask.ts";

/** Pushes `chunks` and notes what the reader told. */
function read(
  chunks: Iterable<Uint8Array>,
  options: { masked: boolean; max?: number; hasRoom?: (bytes: number) => boolean },
): string[] {
  const told: string[] = [];
  const hex = (bytes: Uint8Array): string => bytes.toHex();
  const reader = new FrameReader(
    { maxMessageBytes: options.max ?? 65_536, maxTextBytes: 1_024, ...options },
    {
      message: (bytes) => told.push(`message ${hex(bytes)}`),
      text: (text) => told.push(`text ${text}`),
      ping: (payload) => told.push(`ping ${hex(payload)}`),
      pong: (payload) => told.push(`pong ${hex(payload)}`),
      closeFrame: (code, reason) => told.push(`close ${code} ${reason}`),
      failed: (code) => told.push(`failed ${code}`),
    },
  );
  for (const chunk of chunks) reader.push(chunk);
  return told;
}

const bytes = (...values: (number | string)[]): Uint8Array =>
  Uint8Array.from(values.flatMap((value) => (typeof value === "number" ? [value] : [...Buffer.from(value)])));

const cut = (whole: Uint8Array, size: number): Uint8Array[] => {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at += size) pieces.push(whole.slice(at, at + size));
  return pieces;
};

describe("masking", () => {
  test("gives what RFC 6455 section 5.3 says for any length, place and key", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(7),
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        (payload, offset, key) => {
          const room = new Uint8Array(payload.length + offset + 3).fill(7);
          room.set(payload, offset);
          const number = key.reduce((sum, byte, i) => sum | (byte << (8 * i)), 0);
          applyMask(room.subarray(offset, offset + payload.length), number);
          const expected = payload.map((byte, i) => byte ^ (key[i % 4] ?? 0));
          expect(room.slice(offset, offset + payload.length)).toEqual(expected);
          expect(room.slice(0, offset)).toEqual(new Uint8Array(offset).fill(7));
          expect(room.slice(offset + payload.length)).toEqual(new Uint8Array(3).fill(7));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("frames", () => {
  test("the examples of RFC 6455 section 5.7 are read and written", () => {
    expect(encodeFrame(opcodes.text, bytes("Hello"))).toEqual(bytes(0x81, 5, "Hello"));
    const masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    expect(encodeFrame(opcodes.text, bytes("Hello"), 0x3d21fa37)).toEqual(bytes(...masked));
    expect(read([bytes(...masked)], { masked: true })).toEqual(["text Hello"]);
    expect(read([bytes(0x01, 3, "Hel", 0x80, 2, "lo")], { masked: false })).toEqual(["text Hello"]);
    expect(read([bytes(0x89, 5, "Hello")], { masked: false })).toEqual(["ping 48656c6c6f"]);
    expect([...encodeFrame(opcodes.binary, new Uint8Array(256)).subarray(0, 4)]).toEqual([0x82, 0x7e, 1, 0]);
    expect([...encodeFrame(opcodes.binary, new Uint8Array(65_536)).subarray(0, 10)]).toEqual([
      0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0,
    ]);
    expect(frameHeaderLength(65_536, true)).toBe(14);
  });

  test("any messages, cut anywhere, come out the same", () => {
    const size = fc.oneof(fc.nat(300), fc.constantFrom(125, 126, 127, 65_535, 65_536));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(size, fc.integer(), fc.constantFrom("message", "ping", "text")), { maxLength: 6 }),
        fc.integer({ min: 1, max: 70_000 }),
        fc.boolean(),
        (messages, step, masked) => {
          const expected: string[] = [];
          const parts = messages.map(([length, key, kind]) => {
            const most = kind === "ping" ? 125 : kind === "text" ? 1_000 : 65_536;
            const payload = new Uint8Array(Math.min(length, most));
            for (let i = 0; i < payload.length; i++) payload[i] = kind === "text" ? 97 + (i % 26) : i * 7;
            expected.push(`${kind} ${kind === "text" ? Buffer.from(payload) : payload.toHex()}`);
            const opcode = kind === "message" ? opcodes.binary : opcodes[kind === "ping" ? "ping" : "text"];
            return encodeFrame(opcode, payload, masked ? key : undefined);
          });
          const whole = Buffer.concat(parts);
          expect(read(cut(whole, Math.max(step, whole.length >> 9)), { masked })).toEqual(expected);
        },
      ),
      { numRuns: 100 },
    );
  });

  test("byte by byte is the same as at once", () => {
    const whole = Buffer.concat([
      encodeFrame(opcodes.binary, new Uint8Array(0), 5),
      encodeFrame(opcodes.binary, new Uint8Array(130).fill(3), 6),
      encodeFrame(opcodes.close, closePayload(4_000, "bye"), 7),
    ]);
    const expected = ["message ", `message ${"03".repeat(130)}`, "close 4000 bye"];
    expect(read(cut(whole, 1), { masked: true })).toEqual(expected);
    expect(read([whole], { masked: true })).toEqual(expected);
  });

  test("control frames between fragments are told at once", () => {
    const chunk = bytes(
      0x02,
      1,
      "a",
      0x89,
      1,
      "p",
      0x00,
      0,
      0x00,
      1,
      "b",
      0x8a,
      0,
      0x80,
      1,
      "c",
      0x82,
      1,
      "d",
    );
    const expected = ["ping 70", "pong ", "message 616263", "message 64"];
    expect(read([chunk.slice()], { masked: false })).toEqual(expected);
    expect(read(cut(chunk, 1), { masked: false })).toEqual(expected);
  });

  test("a message that comes in pieces asks for room as it needs it, and fails where there is none", () => {
    const asked: number[] = [];
    const hasRoom = (size: number) => asked.push(size) > 0 && size <= 5_000;
    const of = (size: number) => encodeFrame(opcodes.binary, new Uint8Array(size));
    expect(read([of(6_000)], { masked: false, hasRoom })).toEqual([`message ${"00".repeat(6_000)}`]);
    expect(asked).toEqual([]);
    expect(read(cut(of(5_000), 999), { masked: false, hasRoom })).toEqual([`message ${"00".repeat(5_000)}`]);
    expect(read(cut(of(5_001), 999), { masked: false, hasRoom })).toEqual(["failed 1009"]);
    expect(asked).toEqual([5_000, 5_001]);
    const fragment = (opcode: number) => bytes(opcode, 126, 8, 0, ...Array(2_048).fill(1));
    const fragments = [fragment(2), fragment(0), fragment(0)];
    expect(read(fragments, { masked: false, hasRoom })).toEqual(["failed 1009"]);
    expect(asked.slice(2)).toEqual([4_096, 12_288]);
  });

  test("a frame that lies whole in a chunk is a view of it, not a copy", () => {
    const chunk = bytes(0x82, 4, "data");
    let got: Uint8Array | undefined;
    const ignore = (): void => {};
    new FrameReader(
      { masked: false, maxMessageBytes: 10, maxTextBytes: 10 },
      {
        message: (message) => {
          got = message;
        },
        text: ignore,
        ping: ignore,
        pong: ignore,
        closeFrame: ignore,
        failed: ignore,
      },
    ).push(chunk);
    expect(got?.buffer).toBe(chunk.buffer);
  });

  test("a close payload is cut to 125 bytes on a character's border, and 1005 and 1006 are never sent", () => {
    const payload = closePayload(1_000, "ä".repeat(100));
    expect(payload.length).toBe(124);
    expect(read([encodeFrame(opcodes.close, payload)], { masked: false })).toEqual([
      `close 1000 ${"ä".repeat(61)}`,
    ]);
    expect(closePayload(1_006, "x").length).toBe(0);
    expect(closePayload(1_005, "x").length).toBe(0);
  });
});

describe("a hostile peer is failed with the right code, and nothing is told after", () => {
  const more = [0x82, 1, 120];
  const close = (code: number, ...rest: number[]): number[] => [
    0x88,
    2 + rest.length,
    code >> 8,
    code & 255,
    ...rest,
  ];
  const cases: Readonly<Record<string, [number[], number]>> = {
    "reserved bit 1": [[0xc2, 1, 0], 1002],
    "reserved bit 2": [[0xa2, 1, 0], 1002],
    "reserved bit 3": [[0x92, 1, 0], 1002],
    "opcode 3": [[0x83, 0], 1002],
    "opcode 7": [[0x87, 0], 1002],
    "opcode 11": [[0x8b, 0], 1002],
    "opcode 15": [[0x8f, 0], 1002],
    "a masked frame from the side that does not mask": [[0x82, 0x80, 1, 2, 3, 4], 1002],
    "a fragmented ping": [[0x09, 0], 1002],
    "a fragmented close": [[0x08, 0], 1002],
    "a ping of 126 bytes": [[0x89, 126, 0, 126], 1002],
    "a close of 64-bit length": [[0x88, 127, 0, 0, 0, 0, 0, 1, 0, 0], 1002],
    "a continuation of nothing": [[0x80, 1, 0], 1002],
    "an unfinished continuation of nothing": [[0x00, 1, 0], 1002],
    "a new message inside a fragmented one": [[0x02, 1, 0, 0x82, 1, 0], 1002],
    "a 16-bit length that fits 7 bits": [[0x82, 126, 0, 125], 1002],
    "a 64-bit length that fits 16 bits": [[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], 1002],
    "a 64-bit length with its top bit set": [[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002],
    "a message of 65,537 bytes": [[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1], 1009],
    "a message of 2^62 bytes": [[0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0], 1009],
    "fragments that sum to more than 65,536": [[0x02, 1, 0, 0x80, 127, 0, 0, 0, 0, 0, 1, 0, 0], 1009],
    "a text above its cap": [[0x81, 126, 4, 1], 1009],
    "text fragments above their cap": [[0x01, 1, 97, 0x80, 126, 4, 0], 1009],
    "a text that is not UTF-8": [[0x81, 2, 0xc3, 0x28], 1007],
    "a text with a surrogate": [[0x81, 3, 0xed, 0xa0, 0x80], 1007],
    "a text cut inside a character": [[0x01, 1, 0xc3, 0x80, 0], 1007],
    "a close of one byte": [[0x88, 1, 3], 1002],
    "close code 0": [close(0), 1002],
    "close code 999": [close(999), 1002],
    "close code 1004": [close(1004), 1002],
    "close code 1005": [close(1005), 1002],
    "close code 1006": [close(1006), 1002],
    "close code 1015": [close(1015), 1002],
    "close code 2999": [close(2999), 1002],
    "close code 5000": [close(5000), 1002],
    "a close reason that is not UTF-8": [close(1000, 0xff), 1007],
  };
  for (const [name, [frame, code]] of Object.entries(cases)) {
    test(name, () => {
      const chunk = bytes(...frame, ...more);
      expect(read([chunk.slice()], { masked: false })).toEqual([`failed ${code}`]);
      expect(read(cut(chunk, 1), { masked: false })).toEqual([`failed ${code}`]);
    });
  }
  test("an unmasked frame from the side that must mask", () => {
    expect(read([bytes(0x82, 1, 0)], { masked: true })).toEqual(["failed 1002"]);
  });
  test("valid close codes pass", () => {
    for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]) {
      expect(read([bytes(...close(code), ...more)], { masked: false })).toEqual([`close ${code} `]);
    }
    expect(read([bytes(0x88, 0, ...more)], { masked: false })).toEqual(["close 1005 "]);
  });
  test("no bytes whatever make the reader throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (junk, masked) => {
        read(cut(junk, 7), { masked });
      }),
      { numRuns: 500 },
    );
  });
});
