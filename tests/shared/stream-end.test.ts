import { describe, expect, test } from "bun:test";
import { encodeHead, type HeadFields } from "../../shared/head.ts";
import { streamKinds } from "../../shared/kind.ts";
import type { Session } from "../../shared/mux/session.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { StreamEnd, type StreamEndOptions } from "../../shared/pipe-ends/stream-end.ts";
import { type SpliceEnd, splice } from "../../shared/splice.ts";
import { Pair } from "../mux/pair.ts";
import { FakeStream } from "../origins/fake-stream.ts";
import { FakePipeEnd } from "./fake-pipe-end.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function spliced(options?: StreamEndOptions) {
  const stream = new FakeStream();
  const other = new FakePipeEnd();
  const ends: SpliceEnd[] = [];
  const end = new StreamEnd(stream.stream, options);
  splice(end, other, (told) => ends.push(told));
  return { stream, other, ends, end };
}

describe("a stream as the end of a pipe", () => {
  test("takes bytes before its HEAD, tells the HEAD once, and then what comes", () => {
    let opened = 0;
    const { stream, other } = spliced({ opened: () => opened++ });
    other.says("early");
    expect([stream.body, opened]).toEqual(["early", 0]);
    stream.handler.head(encodeHead({}));
    stream.handler.data(bytes("answer"));
    stream.handler.end();
    stream.handler.left();
    expect([opened, other.text, other.ended, stream.closed]).toEqual([1, "answer", true, false]);
  });

  const faults: [string, (handler: StreamHandler) => void, StreamEndOptions, string][] = [
    ["a HEAD that nobody waits for", (it) => it.head(encodeHead({})), {}, "stream-state"],
    ["bytes before the HEAD", (it) => it.data(bytes("x")), { opened() {} }, "stream-state"],
    ["an END before the HEAD", (it) => it.end(), { opened() {} }, "stream-state"],
    ...(["http", "trailers", "target", "visitor", "local"] as const).map((field): (typeof faults)[number] => {
      const head: HeadFields = { [field]: field === "http" || field === "trailers" ? bytes("a") : "a" };
      return [`a HEAD with ${field}`, (it) => it.head(encodeHead(head)), { opened() {} }, "head-invalid"];
    }),
    ["a HEAD that can't be read", (it) => it.head(bytes("\x7f")), { opened() {} }, "head-invalid"],
  ];
  test.each(faults)("resets for %s, and breaks the other end", (_, send, options, code) => {
    const { stream, other, ends } = spliced(options);
    send(stream.handler);
    expect([stream.resetCode, other.abortedWith, ends[0]?.code]).toEqual([code, code, code] as never);
  });

  test("tells a second HEAD from the first", () => {
    const { stream, other } = spliced({ opened() {} });
    stream.handler.head(encodeHead({}));
    stream.handler.head(encodeHead({}));
    expect([stream.resetCode, other.abortedWith]).toEqual(["stream-state", "stream-state"]);
  });

  test("lets a field pass that a later version may have", () => {
    let opened = 0;
    const { stream } = spliced({ opened: () => opened++ });
    stream.handler.head(new Uint8Array([0xff, 0, 1, 7]));
    expect([stream.closed, opened]).toEqual([false, 1]);
  });

  test("a RESET breaks the other end with its code, and breaking resets the stream", () => {
    const first = spliced();
    first.stream.handler.reset("link-lost");
    expect([first.other.abortedWith, first.ends[0]?.code]).toEqual(["link-lost", "link-lost"]);
    const second = spliced();
    second.other.handler.aborted("origin-closed");
    expect([second.stream.resetCode, second.ends[0]?.code]).toEqual(["origin-closed", "origin-closed"]);
  });

  test("weighs nothing until it is full, and then until it is writable", () => {
    const { stream, other } = spliced();
    stream.highBytes = 100_000;
    other.says("x".repeat(90_000));
    expect(other.heldBytes).toBe(0);
    other.says("x".repeat(20_000));
    expect(other.heldBytes).toBeGreaterThan(262_144);
    stream.handler.writable();
    expect(other.heldBytes).toBe(0);
  });

  test("is over at its END, be it full: the session sends what is queued", () => {
    const { stream, other, ends } = spliced();
    stream.highBytes = 10;
    other.says("more than ten");
    other.handler.ended();
    stream.handler.end();
    expect(stream.ended).toBe(true);
    expect(ends).toEqual([{ forth: 0, back: 13 }]);
  });

  test("passes on as credit what the other end still holds", () => {
    const { stream, other } = spliced();
    other.weighs = 77;
    stream.handler.data(bytes("x"));
    expect(stream.heldBytes).toBe(77);
    other.drains(0);
    expect(stream.heldBytes).toBe(0);
  });
});

describe("two streams of two sessions", () => {
  test("carry 2 MiB whole through a splice to a slow reader, and keep little of it between", () => {
    const total = 2 * 1_048_576;
    // The agent of `front` takes what its relay opens, and sends it on over `back`.
    const front = new Pair();
    const back = new Pair();
    const ends: SpliceEnd[] = [];
    let far: Stream | undefined;
    serve(front.agent.session, (near) => {
      far = back.agent.session.open(streamKinds.tcp, encodeHead({}), silent);
      if (far === undefined) throw new Error("the session is full");
      const end = new StreamEnd(near);
      splice(end, new StreamEnd(far, { opened() {} }), (told) => ends.push(told));
      return end.receiver;
    });
    let reader: Stream | undefined;
    let came = 0;
    let held = 0;
    let ended = false;
    serve(back.relay.session, (stream) => {
      reader = stream;
      stream.head(encodeHead({}));
      const data = (piece: Uint8Array): void => {
        for (const byte of piece) {
          if (byte !== ((came >> 10) & 255)) throw new Error(`byte ${came} is another`);
          came++;
        }
        held += piece.length;
      };
      const end = (): void => {
        ended = true;
        stream.end();
      };
      return { ...silent, data, end };
    });
    const visitor = front.relay.session.open(streamKinds.tcp, encodeHead({}), silent);
    for (let at = 0; at < total; at += 1_024) visitor?.write(new Uint8Array(1_024).fill(at >> 10));
    visitor?.end();
    let between = 0;
    for (let step = 0; step < 100_000; step++) {
      const moved = front.step() || back.step();
      between = Math.max(between, far?.queued ?? 0);
      if (moved) continue;
      // At rest: the reader has all that its window allows. Now it takes some.
      if (held === 0) break;
      held = Math.max(0, held - 20_000);
      reader?.held(held);
    }
    expect([came, ended]).toEqual([total, true]);
    expect(ends).toEqual([{ forth: total, back: 0 }]);
    expect(between).toBeLessThan(262_144);
  });
});

const silent: StreamHandler = { head() {}, data() {}, end() {}, left() {}, reset() {}, writable() {} };

function serve(session: Session, opened: (stream: Stream) => StreamHandler): void {
  if (session.handler !== undefined) session.handler = { ...session.handler, opened };
}
