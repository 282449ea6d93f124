import { expect, test } from "bun:test";
import { TcpOrigin } from "../../agent/origins/tcp.ts";
import { encodeHead } from "../../shared/head.ts";
import { dial, listen } from "../../shared/runtimes/bun-sockets.ts";
import { FakeStream } from "./fake-stream.ts";

test("a stream that is open does not keep the message that its OPEN came in", async () => {
  const listener = await listen({ host: "127.0.0.1", port: 0 }, () => {});
  const target = { host: "127.0.0.1", port: listener.port };
  const origin = new TcpOrigin({ dial, target, dialTimeoutMs: 5_000, kind: "tcp", onStream() {} });
  const streams: FakeStream[] = [];
  const messages: WeakRef<ArrayBuffer>[] = [];
  const open = (): void => {
    const fields = encodeHead({ visitor: "198.51.100.7:4000" });
    const message = new Uint8Array(65_536);
    message.set(fields, 100);
    messages.push(new WeakRef(message.buffer));
    const stream = new FakeStream();
    stream.handler = origin.open(stream.stream, message.subarray(100, 100 + fields.length));
    streams.push(stream);
  };
  for (let i = 0; i < 20; i++) open();
  const held = (): number => messages.filter((message) => message.deref() !== undefined).length;
  // The collector may take a stray value on the stack for one of them.
  for (let i = 0; i < 50 && held() > 2; i++) {
    await Bun.sleep(10);
    Bun.gc(true);
  }
  expect(streams.filter((stream) => stream.resetCode !== undefined)).toEqual([]);
  expect(held()).toBeLessThanOrEqual(2);
  origin.close();
  listener.close();
});
