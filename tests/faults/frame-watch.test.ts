import { expect, test } from "bun:test";
import { frameBytes, opcodes } from "../blackbox/raw/websocket.ts";
import { FrameWatch } from "./frame-watch.ts";

const record = (type: number, ...payload: number[]) => [
  type,
  0,
  payload.length >> 8,
  payload.length & 255,
  ...payload,
];
const data = (bytes: number) => record(0x43, 0, 0, 0, 1, ...Array.from({ length: bytes }, (_, i) => i & 255));
const ack = record(0x03, 0, 0, 0, 0, 0, 0, 0, 9);
const message = (masked: boolean, ...records: number[][]) =>
  frameBytes(opcodes.binary, Uint8Array.from(records.flat()), { masked });

test.each([
  ["masked", "GET /_underpass/links/blue HTTP/1.1\r\nHost: relay\r\n\r\n"],
  ["unmasked", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
])("a watch finds the frames among what passes on a link (%s), whatever the pieces", (mask, head) => {
  const masked = mask === "masked";
  const parts = [
    Buffer.from(head),
    message(masked, ack),
    message(masked, ack, data(300), data(0)),
    frameBytes(opcodes.text, "underpass/1 ping 8f1b2c6d-keepalive", { masked }),
    message(masked, data(65_000)),
    message(masked, record(0x87, 1)),
  ];
  const starts = parts.map((_, i) => parts.slice(0, i).reduce((sum, part) => sum + part.length, 0));
  const all = Buffer.concat(parts);
  for (const step of [1, 7, 1000, all.length]) {
    const watch = new FrameWatch();
    for (let at = 0; at < all.length; at += step) watch.push(all.subarray(at, at + step));
    expect(watch.frames).toBe(3);
    const hits = starts.map((from, i) => watch.hasFrame({ from, to: from + (parts[i]?.length ?? 0) }));
    expect(hits).toEqual([false, false, true, false, true, false]);
    expect(watch.hasFrame({ from: (starts[4] ?? 0) + 40_000, to: (starts[4] ?? 0) + 40_001 })).toBe(true);
    expect(watch.hasFrame({ from: (starts[2] ?? 0) + 30, to: (starts[2] ?? 0) + 30 })).toBe(false);
  }
});

test("a watch sees no frames in an answer that refuses the dial, or in another call", () => {
  for (const head of ["HTTP/1.1 503 Nothing\r\n\r\n", "POST /_underpass/names HTTP/1.1\r\n\r\n"]) {
    const watch = new FrameWatch();
    watch.push(Buffer.concat([Buffer.from(head), message(false, data(100))]));
    expect(watch.frames).toBe(0);
  }
});
