import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  closeEvent,
  commentLines,
  messageEvent,
  openEvent,
  textEvent,
} from "../../shared/links/event-stream-events.ts";
import { EventStreamParser } from "../../shared/links/event-stream-parser.ts";

interface Read {
  readonly events: [string, string][];
  readonly faults: number;
}

/** Parses `chunks`, as they were cut. */
function read(chunks: readonly Uint8Array[], maxBytes = 1_000): Read {
  const events: [string, string][] = [];
  let faults = 0;
  const parser = new EventStreamParser(
    {
      heard() {},
      event: (name, data) => void events.push([name, new TextDecoder().decode(data)]),
      fault: () => void faults++,
    },
    { maxBytes },
  );
  for (const chunk of chunks) parser.push(chunk);
  return { events, faults };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** WHATWG HTML section 9.2.6, word for word and on the whole text. */
function oracle(text: string): [string, string][] {
  const events: [string, string][] = [];
  let type = "";
  let data = "";
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\n|\r/);
  // What stands behind the last line end is no line yet.
  for (const line of lines.slice(0, -1)) {
    if (line === "") {
      if (data !== "") events.push([type, data.slice(0, -1)]);
      type = "";
      data = "";
      continue;
    }
    if (line.startsWith(":")) continue;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") type = value;
    else if (field === "data") data += `${value}\n`;
  }
  return events;
}

function cut(whole: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (const length of [...lengths, whole.length]) {
    if (at >= whole.length) break;
    chunks.push(whole.slice(at, at + length));
    at += length;
  }
  return chunks;
}

test("reads the examples of the standard", () => {
  const text =
    ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\ndata\n\ndata\ndata\n\ndata:";
  expect(read([bytes(text)]).events).toEqual([
    ["", "first event"],
    ["", "second event"],
    ["", " third event"],
    ["", ""],
    ["", "\n"],
  ]);
});

test("reads any text as the standard says, however it is cut", () => {
  const piece = fc.oneof(
    fc.constantFrom("data", "event", "datum", "id", ":", " ", "\n", "\r", "\r\n", "\n\n", "x", "ä", "", "€"),
    fc.string({ maxLength: 5 }),
  );
  const text = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(
      fc.boolean(),
      text,
      fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 80 }),
      (mark, body, lengths) => {
        const whole = `${mark ? "\ufeff" : ""}${body.toWellFormed()}`;
        expect(read(cut(bytes(whole), lengths), 10_000)).toEqual({ events: oracle(whole), faults: 0 });
      },
    ),
    { numRuns: 2_000 },
  );
});

test("a line, and the data of an event, may be as long as the limit and no longer", () => {
  const line = `data:${"x".repeat(95)}`;
  expect(read([bytes(`${line}\n\n`)], 100)).toEqual({ events: [["", "x".repeat(95)]], faults: 0 });
  expect(read([bytes(`${line}x\n\n`)], 100)).toEqual({ events: [], faults: 1 });
  // Before its end has come, and after: one fault, and nothing more.
  expect(read([bytes(`${line}`), bytes("xy"), bytes("\n\ndata: z\n\n")], 100)).toEqual({
    events: [],
    faults: 1,
  });
  const half = `data:${"y".repeat(50)}\n`;
  expect(read([bytes(`${half}data:${"y".repeat(49)}\n\n`)], 100).faults).toBe(0);
  expect(read([bytes(`${half}data:${"y".repeat(50)}\n\n`)], 100).faults).toBe(1);
  expect(read([bytes(`:${"c".repeat(100)}\n`)], 100).faults).toBe(1);
});

test("never throws, and tells nothing after a fault, whatever bytes come", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), (chunks) => {
      const { faults } = read(chunks, 30);
      expect(faults).toBeLessThanOrEqual(1);
    }),
    { numRuns: 2_000 },
  );
});

test("nothing is told after stop, also from inside an event", () => {
  const told: string[] = [];
  const parser = new EventStreamParser(
    {
      heard() {},
      event(_name, data) {
        told.push(new TextDecoder().decode(data));
        parser.stop();
      },
      fault: () => told.push("fault"),
    },
    { maxBytes: 100 },
  );
  parser.push(bytes("data: 1\n\ndata: 2\n\n"));
  parser.push(bytes("data: 3\n\n"));
  expect(told).toEqual(["1"]);
});

test("tells of all that comes but comments, before its event and once a push", () => {
  const told: string[] = [];
  const parser = new EventStreamParser(
    {
      heard: () => told.push("heard"),
      event: (_name, data) => told.push(new TextDecoder().decode(data)),
      fault: () => told.push("fault"),
    },
    { maxBytes: 100 },
  );
  const pushed = (text: string): string[] => {
    parser.push(bytes(text));
    return told.splice(0);
  };
  expect(pushed(":\n\n")).toEqual([]);
  expect(pushed(": a com")).toEqual([]);
  expect(pushed("ment\n\n")).toEqual([]);
  expect(pushed("dat")).toEqual(["heard"]);
  expect(pushed("a: 1")).toEqual(["heard"]);
  expect(pushed("\n")).toEqual([]);
  expect(pushed("\n:\n\n")).toEqual(["heard", "1"]);
  expect(pushed(":\n\ndata: 2\n\ndata: 3\n\n")).toEqual(["heard", "2", "3"]);
});

test("what the relay writes is read as it was meant", () => {
  const message = Uint8Array.from({ length: 257 }, (_, i) => i);
  const room = new Uint8Array(1_000);
  const written = [
    openEvent({ link: "L", secret: "S" }),
    messageEvent(new Uint8Array(0)),
    commentLines(),
    messageEvent(message).slice(),
    messageEvent(message, room).slice(),
    textEvent("a\nb"),
    closeEvent(4_001, "enough: said"),
  ];
  expect(read(written).events).toEqual([
    ["open", '{"link":"L","secret":"S"}'],
    ["", ""],
    ["", message.toBase64()],
    ["", message.toBase64()],
    ["text", "a\nb"],
    ["close", "4001 enough: said"],
  ]);
  expect(messageEvent(message).length).toBeLessThan(room.length);
});
