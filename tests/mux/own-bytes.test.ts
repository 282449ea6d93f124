import { expect, test } from "bun:test";
import { lastingBytes, ownBytes } from "../../shared/mux/own-bytes.ts";

test("bytes that are kept do not keep much more than themselves", () => {
  const message = new Uint8Array(65_536).map((_, at) => at);
  const [large, half, small] = [message.subarray(9), message.subarray(32_768), message.subarray(40_000)];
  expect(lastingBytes(large)).toBe(large);
  expect(lastingBytes(half)).toBe(half);
  expect(lastingBytes(small).buffer.byteLength).toBe(small.length);
  expect(lastingBytes(small)).toEqual(small.slice());
  expect(ownBytes(small).buffer).toBe(message.buffer);
  expect(ownBytes(message.subarray(60_000)).buffer.byteLength).toBe(5_536);
});

test("a Buffer's view is not kept either", () => {
  const small = Buffer.alloc(65_536).subarray(0, 10);
  expect(lastingBytes(small).buffer.byteLength).toBe(10);
  expect(ownBytes(small).buffer.byteLength).toBe(10);
});
