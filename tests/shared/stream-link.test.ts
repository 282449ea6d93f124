import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encodeHead } from "../../shared/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { closePart, encodeParts, type Part, PartType } from "../../shared/links/parts.ts";
import { StreamLink, type StreamLinkOptions } from "../../shared/links/stream.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { LinkEar } from "../conformance/link-ear.ts";
import { FakeStream } from "../origins/fake-stream.ts";
import { turn } from "./driver-bench.ts";

const none = new Uint8Array(0);
const opener = { opened() {} };

/** A link whose stream's other end is the test. */
function linked(options: Partial<StreamLinkOptions> = {}) {
  const clock = new VirtualClock();
  const stream = new FakeStream();
  const link = new StreamLink(stream.stream, { clock, ...options });
  const ear = new LinkEar(link);
  return { clock, stream, link, ear, said: () => encodeLatin1(stream.body) };
}

const parts = (...all: [PartType, number][]): Uint8Array =>
  encodeParts(
    none,
    all.map(([type, length]): Part => ({ type, bytes: new Uint8Array(length) })),
  );

describe("a link over a stream", () => {
  test("says what PROTOCOL.md section 9 says", () => {
    const { link, stream, said } = linked();
    link.send(new Uint8Array([7, 8]));
    link.sendText("ä");
    link.close(1001, "bye");
    expect(said()).toEqual(
      new Uint8Array([0, 0, 0, 2, 7, 8, 1, 0, 0, 2, 0xc3, 0xa4, 2, 0, 0, 5, 0x03, 0xe9, 98, 121, 101]),
    );
    expect([stream.ended, stream.closed]).toEqual([true, false]);
  });

  test("hears messages, texts and the close, however DATA cuts them", () => {
    const message = fc
      .uint8Array({ maxLength: 300 })
      .map((bytes): [Part, unknown] => [{ type: PartType.binary, bytes }, [...bytes]]);
    const text = fc.string({ maxLength: 40 }).map((value): [Part, unknown] => {
      const whole = value.toWellFormed();
      return [{ type: PartType.text, bytes: new TextEncoder().encode(whole) }, whole];
    });
    fc.assert(
      fc.property(
        fc.array(fc.oneof(message, text), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 60 }),
        (said, cuts) => {
          const { stream, link } = linked();
          const heard: unknown[] = [];
          new LinkEar(link, {
            message: (bytes) => heard.push([...bytes]),
            text: (value) => heard.push(value),
            closed: (code, reason) => heard.push({ code, reason }),
          });
          const whole = encodeParts(none, [...said.map(([part]) => part), closePart(4_001, "enough")]);
          let at = 0;
          for (const length of [...cuts, whole.length]) {
            if (at < whole.length) stream.handler.data(whole.slice(at, at + length));
            at += length;
          }
          stream.handler.end();
          expect(heard).toEqual([...said.map(([, value]) => value), { code: 4_001, reason: "enough" }]);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("gives a message that lies whole in one piece as a view, and credit for one that does not", () => {
    const { stream, ear } = linked();
    const piece = parts([PartType.binary, 40_000], [PartType.binary, 30_000]).subarray(0, 60_000);
    stream.handler.data(piece);
    expect(ear.messages.map(({ buffer, length }) => [buffer === piece.buffer, length])).toEqual([
      [true, 40_000],
    ]);
    expect([stream.heldBytes, ear.lives]).toEqual([0, 1]);
    stream.handler.data(new Uint8Array(10_008));
    expect(ear.messages.map(({ length }) => length)).toEqual([40_000, 30_000]);
  });

  test("gives no credit for what waits where it was passed on to", () => {
    const { stream, link } = linked();
    link.held(70_000);
    expect(stream.heldBytes).toBe(70_000);
    stream.handler.data(parts([PartType.binary, 10]));
    expect(stream.heldBytes).toBe(70_000);
    link.held(0);
    expect(stream.heldBytes).toBe(0);
  });

  test("tells how much waits, and that there is room again", () => {
    const { stream, link, ear } = linked();
    stream.highBytes = 100;
    link.send(new Uint8Array(200));
    expect([link.queued, ear.drains]).toEqual([204, 0]);
    stream.queued = 0;
    stream.handler.writable();
    expect([link.queued, ear.drains]).toEqual([0, 1]);
  });
});

describe("what is no link", () => {
  const { binary, text, close } = PartType;
  const faults: [string, Uint8Array, number][] = [
    ["a message above 64 KiB", parts([binary, 65_537]).subarray(0, 4), 1009],
    ["a text above 1,024 bytes", parts([text, 1_025]).subarray(0, 4), 1009],
    ["a close above 125 bytes", parts([close, 126]).subarray(0, 4), 1009],
    ["a length of 16 MiB", new Uint8Array([0, 255, 255, 255]), 1009],
    ["a type that is unknown", new Uint8Array([3, 0, 0, 0]), 1002],
    ["a close without its code", parts([close, 1]), 1002],
  ];
  test.each(faults)("%s closes it", (_, bytes, code) => {
    const { stream, ear, said } = linked();
    stream.handler.data(parts([binary, 3]));
    stream.handler.data(bytes);
    stream.handler.data(parts([binary, 5]));
    expect([ear.messages.length, stream.ended]).toEqual([1, true]);
    expect([...said().subarray(4, 6)]).toEqual([code >> 8, code & 0xff]);
    stream.handler.end();
    expect(ear.closes.map(([told]) => told)).toEqual([code]);
  });

  test("bytes of any sort never throw, and keep no more than one message", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 20 }), (pieces) => {
        const { stream, ear } = linked();
        for (const piece of pieces) stream.handler.data(piece);
        stream.handler.end();
        expect(ear.closes.length).toBe(1);
      }),
      { numRuns: 1_000 },
    );
  });

  const breaks: [string, (stream: FakeStream) => void, Partial<StreamLinkOptions>, string][] = [
    ["END in the middle of a message", ({ handler }) => handler.end(), {}, "origin-closed"],
    ["END before the HEAD", ({ handler }) => handler.end(), opener, "stream-state"],
    ["DATA before the HEAD", ({ handler }) => handler.data(parts([binary, 1])), opener, "stream-state"],
    ["a HEAD that nobody waits for", ({ handler }) => handler.head(encodeHead({})), {}, "stream-state"],
    [
      "a HEAD with a field",
      ({ handler }) => handler.head(encodeHead({ target: "a:1" })),
      opener,
      "head-invalid",
    ],
  ];
  test.each(breaks)("%s breaks it", (_, send, options, code) => {
    const { stream, ear } = linked(options);
    if (options.opened === undefined) stream.handler.data(parts([binary, 9]).subarray(0, 7));
    send(stream);
    expect([stream.resetCode, ear.closes]).toEqual([code, [[1006, ""]]] as never);
  });
});

describe("the end of a link over a stream", () => {
  test("is told once where the peer resets", () => {
    const { stream, ear, link } = linked();
    stream.handler.reset("link-lost");
    link.close(1000, "late");
    link.send(new Uint8Array(1));
    link.destroy();
    expect([ear.closes, stream.body]).toEqual([[[1006, ""]], ""]);
  });

  test("does not wait for a peer that never answers a close", () => {
    const { stream, ear, link, clock } = linked(opener);
    link.close(1000, "");
    clock.advance(1_999);
    expect([ear.closes, stream.closed]).toEqual([[], false]);
    clock.advance(1);
    expect([ear.closes, stream.resetCode]).toEqual([[[1006, ""]], "cancelled"]);
    expect(clock.timers).toBe(0);
  });

  test("leaves no stream behind that the peer does not read", () => {
    const { stream, ear, clock, link } = linked();
    // A stream that has not sent its END.
    Object.defineProperty(stream, "ended", { get: () => false, set() {} });
    link.close(1000, "");
    stream.handler.data(encodeParts(none, [closePart(1000, "")]));
    stream.handler.end();
    expect([ear.closes.length, stream.closed]).toEqual([1, false]);
    clock.advance(2_000);
    expect([ear.closes.length, stream.resetCode]).toEqual([1, "origin-closed"]);
  });

  test("by destroy resets, and is told in a later turn, once", async () => {
    const { stream, ear, link } = linked();
    ear.call((it) => it.destroy());
    link.destroy();
    expect([stream.resetCode, ear.closes]).toEqual(["origin-closed", []]);
    await turn();
    expect(ear.closes).toEqual([[1006, ""]]);
  });
});
