import { expect, test } from "bun:test";
import { FetchSink } from "../../relay/ingress/fetch-sink.ts";
import { Gauge } from "../../shared/mux/gauge.ts";

/** A sink, whoever reads its body, and what it told. */
function setUp() {
  // A write is taken when it is read, as through the platform's pipe.
  const pipe = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, { highWaterMark: 0 });
  const abort = new AbortController();
  const held = new Gauge();
  const sink = new FetchSink(pipe.writable, { signal: abort.signal, held });
  const told: string[] = [];
  const closed = Promise.withResolvers<void>();
  let calling = false;
  const tell = (what: string) => {
    expect(calling).toBe(false);
    told.push(what);
    if (what === "closed") closed.resolve();
  };
  sink.handler = { drained: () => tell("drained"), closed: () => tell("closed") };
  const call = <T>(run: () => T): T => {
    calling = true;
    const result = run();
    calling = false;
    return result;
  };
  return { sink, held, told, call, abort, reader: pipe.readable.getReader(), closed: closed.promise };
}

const bytes = (size: number, value = 7) => new Uint8Array(size).fill(value);

test("what is written comes out in order, what waited in few pieces, and is queued until then", async () => {
  const { sink, held, told, call, reader, closed } = setUp();
  expect(call(() => sink.write(bytes(10, 1)))).toBe(10);
  for (let i = 0; i < 100; i++) call(() => sink.write(bytes(100, 2)));
  call(() => sink.write(bytes(100_000, 3)));
  expect([sink.queued, held.now]).toEqual([110_010, 110_010]);
  const sizes: number[] = [];
  const all: number[] = [];
  for (let size = 0; size < 110_010; ) {
    const { value = bytes(0) } = await reader.read();
    sizes.push(value.length);
    all.push(...value);
    size += value.length;
  }
  expect(sizes[0]).toBe(10);
  expect(sizes.length).toBe(3);
  expect([...new Set(all)]).toEqual([1, 2, 3]);
  call(() => sink.end());
  call(() => sink.end());
  call(() => sink.write(bytes(5)));
  expect((await reader.read()).done).toBe(true);
  await closed;
  expect(told).toEqual(["drained", "drained", "drained", "closed"]);
  expect([sink.queued, held.now, held.most]).toEqual([0, 0, 110_010]);
});

test("an end waits for what is queued", async () => {
  const { sink, call, reader, closed } = setUp();
  call(() => {
    sink.write(bytes(10));
    sink.write(bytes(20));
    sink.end();
  });
  expect((await reader.read()).value).toHaveLength(10);
  expect((await reader.read()).value).toHaveLength(20);
  expect((await reader.read()).done).toBe(true);
  await closed;
});

test("who asked may go: his signal says so, or the body", async () => {
  const signalled = setUp();
  signalled.call(() => signalled.sink.write(bytes(10)));
  signalled.abort.abort();
  await signalled.closed;
  const cancelled = setUp();
  await cancelled.reader.cancel();
  await cancelled.closed;
  expect([signalled.told, cancelled.told]).toEqual([["closed"], ["closed"]]);
  cancelled.sink.write(bytes(5));
  cancelled.sink.end();
  cancelled.sink.destroy();
});

test("a sink that is destroyed is an answer that is cut off", async () => {
  const { sink, held, told, call, reader, closed } = setUp();
  call(() => {
    sink.write(bytes(10));
    sink.write(bytes(10));
    sink.destroy();
    sink.destroy();
  });
  await closed;
  expect([told, held.now]).toEqual([["closed"], 0]);
  await expect(reader.read()).rejects.toBeUndefined();
});
