import { expect, test } from "bun:test";
import { HandlerOrigin } from "../../agent/origins/handler.ts";
import { TcpOrigin } from "../../agent/origins/tcp.ts";
import { encodeHead, type HeadFields } from "../../shared/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { dial, listen } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { FakeStream } from "./fake-stream.ts";

interface Opens {
  open(stream: Stream, fields: Uint8Array): StreamHandler;
}

/** Opens streams, each with fields that stand in a large message, and returns how many of those are still in memory. */
async function keptOf(origin: Opens, head: HeadFields): Promise<{ kept: number; of: readonly FakeStream[] }> {
  const streams: FakeStream[] = [];
  const messages: WeakRef<ArrayBuffer>[] = [];
  const open = (): void => {
    const fields = encodeHead(head);
    const message = new Uint8Array(65_536);
    message.set(fields, 100);
    messages.push(new WeakRef(message.buffer));
    const stream = new FakeStream();
    stream.handler = origin.open(stream.stream, message.subarray(100, 100 + fields.length));
    streams.push(stream);
  };
  for (let i = 0; i < 20; i++) open();
  const kept = (): number => messages.filter((message) => message.deref() !== undefined).length;
  // The collector may take a stray value on the stack for one of them.
  for (let i = 0; i < 50 && kept() > 2; i++) {
    await Bun.sleep(10);
    Bun.gc(true);
  }
  return { kept: kept(), of: streams };
}

test("a TCP stream that is open does not keep the message that its OPEN came in", async () => {
  const listener = await listen({ host: "127.0.0.1", port: 0 }, () => {});
  const target = { host: "127.0.0.1", port: listener.port };
  const origin = new TcpOrigin({ dial, target, dialTimeoutMs: 5_000, kind: "tcp", onStream() {} });
  const { kept, of } = await keptOf(origin, { visitor: "198.51.100.7:4000" });
  expect(of.filter((stream) => stream.resetCode !== undefined)).toEqual([]);
  expect(kept).toBeLessThanOrEqual(2);
  origin.close();
  listener.close();
});

test("nor does a request that a function has begun to answer", async () => {
  const bodies: ReadableStreamDefaultController[] = [];
  const origin = new HandlerOrigin({
    fetch: () => new Response(new ReadableStream({ start: (body) => void bodies.push(body) })),
    clock: { ...systemClock, date: () => Date.now() },
    onRequest() {},
    onError(error) {
      throw error;
    },
  });
  const http = encodeLatin1("GET /events HTTP/1.1\r\nHost: blue.example\r\nAccept: text/event-stream\r\n");
  const { kept, of } = await keptOf(origin, { http });
  expect(of.map(({ heads }) => heads[0]?.status)).toEqual(of.map(() => 200));
  expect(kept).toBeLessThanOrEqual(2);
  for (const body of bodies) body.close();
});
