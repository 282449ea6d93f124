import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/mux/limits.ts";
import { fromHex, integer, join } from "../oracle/bytes.ts";
import { encodeMessage, encodeRaw, type OracleRecord } from "../oracle/codec.ts";
import { type MessageVector, readVectors } from "../vectors/make.ts";
import { unservedKind, Victim, type VictimOptions } from "./victim.ts";

const open = (stream: number, headBytes = 1, kind = 1): OracleRecord => ({
  record: "OPEN",
  stream,
  kind,
  head: "68".repeat(headBytes),
});
const head = (stream: number, size = 1): OracleRecord => ({
  record: "HEAD",
  stream,
  head: "68".repeat(size),
});
const data = (stream: number, size = 1): OracleRecord => ({
  record: "DATA",
  stream,
  bytes: "64".repeat(size),
});
const end = (stream: number): OracleRecord => ({ record: "END", stream });
const left = (stream: number): OracleRecord => ({ record: "LEFT", stream });
const reset = (stream: number, code: "no-error" | "cancelled" = "cancelled"): OracleRecord => ({
  record: "RESET",
  stream,
  code,
});
const ack = (count: number): OracleRecord => ({ record: "ACK", count });
const credit = (stream: number, limit = 70_000): OracleRecord => ({
  record: "CREDIT",
  limits: [{ stream, limit }],
});
const datagram = (stream: number): OracleRecord => ({ record: "DATAGRAM", stream, bytes: "64" });
const unknown = (stream: number, type = 0x46): OracleRecord => ({
  record: "unknown frame",
  type,
  stream,
  bytes: "",
});
const goaway = (kind: "drain" | "error", lastStream = 0): OracleRecord => ({
  record: "GOAWAY",
  kind,
  code: "going-away",
  lastStream,
  graceMs: 5,
  reason: "why",
});

/** What the peer of a relay does, message by message, and the answer to the last. */
type Case = [name: string, messages: (OracleRecord[] | Uint8Array)[], answers: string[]];

const error = ["goaway protocol-error"];
const frames: [string, (stream: number) => OracleRecord][] = [
  ["HEAD", head],
  ["DATA", data],
  ["END", end],
  ["LEFT", left],
  ["RESET", reset],
  ["an unknown mandatory frame", unknown],
  ["an unknown optional frame", (stream) => unknown(stream, 0xc9)],
];
const mentions: [string, (stream: number) => OracleRecord][] = [
  ["CREDIT", credit],
  ["DATAGRAM", datagram],
];

const cases: Case[] = [
  // Ids
  ...frames.flatMap(([name, make]): Case[] => [
    [`${name} for an id that the peer never opened`, [[open(1)], [make(3)]], error],
    [`${name} for an id that we never opened`, [[open(1)], [make(2)]], error],
    [`${name} for id 0`, [[open(1)], [make(0)]], error],
    [`${name} for an id that was skipped`, [[open(5)], [make(3)]], []],
    [`${name} for an id that is closed`, [[open(1), reset(1)], [make(1)]], []],
  ]),
  ...mentions.flatMap(([name, make]): Case[] => [
    [`${name} for an id that the peer has not opened yet`, [[make(3), open(1)]], []],
    [`${name} for an id that we never opened`, [[make(2)]], error],
    [`${name} for id 0`, [[make(0)]], error],
    [`${name} for an id that is closed`, [[open(1), reset(1)], [make(1)]], []],
    [`${name} for an open stream`, [[open(1)], [make(1)]], []],
  ]),
  ["OPEN of our parity", [[open(2)]], error],
  ["OPEN of id 0", [[open(0)]], error],
  ["OPEN of an id twice", [[open(1)], [open(1)]], error],
  ["OPEN of an id that is closed", [[open(1), reset(1)], [open(1)]], error],
  ["OPEN of an id below another", [[open(7)], [open(5)]], error],
  ["OPEN of the highest id and then no more", [[open(0xffff_ffff), data(0xffff_ffff)]], []],
  // Directions
  ["DATA after END", [[open(1), end(1)], [data(1)]], ["reset 1 stream-state"]],
  ["HEAD after END", [[open(1), end(1), head(1)]], ["reset 1 stream-state"]],
  ["END after END", [[open(1), end(1), end(1)]], ["reset 1 stream-state"]],
  ["DATA after END above the credit", [[open(1), end(1)], [data(1, 65_500)]], ["reset 1 stream-state"]],
  [
    "what follows a fault of a stream",
    [[open(1), end(1), data(1), data(1), head(1), end(1)]],
    ["reset 1 stream-state"],
  ],
  [
    "a fault of one stream beside another",
    [
      [open(1), open(3)],
      [unknown(1), data(3)],
    ],
    ["reset 1 frame-unknown"],
  ],
  ["RESET after END", [[open(1), end(1)], [reset(1)]], []],
  [
    "LEFT before END, and twice",
    [
      [open(1), left(1)],
      [end(1), left(1), left(1)],
    ],
    [],
  ],
  // Credit
  ["DATA to the last byte of the window", [[open(1, 1)], [data(1, 65_536 - 64 - 1 - 64)]], []],
  [
    "DATA one byte above the window",
    [[open(1, 1)], [data(1, 65_536 - 64 - 1 - 64 + 1)]],
    ["goaway flow-control-error"],
  ],
  ["HEAD above the window", [[open(1), data(1, 40_000)], [head(1, 30_000)]], ["goaway flow-control-error"]],
  [
    "empty DATA to the end of the window",
    [[open(1, 0), ...Array.from({ length: 1_023 }, () => data(1, 0))]],
    [],
  ],
  [
    "empty DATA above the window",
    [[open(1, 0), ...Array.from({ length: 1_024 }, () => data(1, 0))]],
    ["goaway flow-control-error"],
  ],
  ["OPEN above the window", [[open(1, 65_520)]], ["goaway flow-control-error"]],
  [
    "OPEN above the window when there are too many",
    [[open(1), open(3)], [open(5, 65_520)]],
    ["goaway flow-control-error"],
  ],
  ["CREDIT to 2^53", [[open(1)], encodeRaw(4, join(integer(4, 1), integer(8, 2n ** 53n)))], error],
  // Streams
  ["OPEN when there are too many", [[open(1), open(3), open(5)]], ["reset 5 too-many-streams"]],
  [
    "frames of a refused stream",
    [
      [open(1), open(3), open(5)],
      [credit(5), data(5), end(5)],
    ],
    [],
  ],
  ["OPEN when one of two has gone", [[open(1), open(3), reset(1), open(5)]], []],
  ["OPEN of a kind that is not served", [[open(1, 1, unservedKind)]], ["reset 1 kind-unknown"]],
  ["frames of a stream of a kind that is not served", [[open(1, 1, unservedKind)], [data(1), end(1)]], []],
  ["an unknown mandatory frame", [[open(1)], [unknown(1)]], ["reset 1 frame-unknown"]],
  ["an unknown optional frame", [[open(1)], [unknown(1, 0xc9)]], []],
  // Control
  ["ACK of what was never sent", [[ack(1)]], error],
  ["HELLO after the handshake", [encodeRaw(1, fromHex("7b7d"))], error],
  ["WELCOME after the handshake", [encodeRaw(2, fromHex("7b7d"))], error],
  ["an unknown mandatory control record", [encodeRaw(0x07, fromHex("00"))], ["goaway record-unknown"]],
  ["an unknown optional control record", [encodeRaw(0x88, fromHex("00"))], []],
  [
    "DOUBT of an agent, and one without its slot",
    [encodeRaw(0x87, fromHex("00")), encodeRaw(0x87, fromHex(""))],
    [],
  ],
  ["GOAWAY error is not answered", [[open(1)], [goaway("error")]], []],
  ["nothing is read after GOAWAY error", [[goaway("error"), open(1), data(1)]], []],
  ["GOAWAY error, then a fault", [join(encodeMessage([goaway("error")]), fromHex("ffff"))], []],
  ["GOAWAY drain twice", [[goaway("drain")], [goaway("drain")]], []],
  ["OPEN after the peer's own GOAWAY", [[goaway("drain")], [open(1)]], []],
  ["what came before a fault has taken effect", [[open(1), data(1), data(3)]], error],
  ["resets for a fault before the message's end", [[open(1), unknown(1), data(3)]], error],
];

const malformed = readVectors<MessageVector[]>(
  await Bun.file(new URL("../vectors/malformed.json", import.meta.url)).text(),
);

describe("a hostile peer gets the page's answer, and nothing of it remains:", () => {
  test.each(cases)("%s", (_, messages, answers) => {
    const victim = new Victim({ streams: 2 });
    let last: string[] = [];
    for (const message of messages) last = victim.attack(message);
    expect(last).toEqual(answers);
    if (!victim.session.over) return;
    // The session is over: nothing more is heard or said.
    expect(victim.attack([open(9), data(9)])).toEqual([]);
    expect(victim.session.open(1, new Uint8Array(0), silent)).toBeUndefined();
    expect(victim.flush()).toEqual([]);
  });

  const afterHandshake = malformed.filter(({ name }) => !/HELLO|WELCOME/.test(name));
  test.each(afterHandshake)("malformed: $name", ({ bytes }) => {
    const settings: VictimOptions[] = [{ side: "relay" }, { side: "agent" }];
    for (const options of settings) {
      const victim = new Victim(options);
      victim.attack([open(options.side === "relay" ? 1 : 2)]);
      victim.open();
      victim.attack(fromHex(bytes));
    }
  });

  test("frames for a stream whose OPEN has not left are for an id never opened", () => {
    for (const make of [...frames, ...mentions]) {
      const victim = new Victim();
      const { id } = victim.open({ unsent: true });
      expect(victim.attack([make[1](id)])).toEqual(error);
    }
  });
});

describe("codes off the wire:", () => {
  test.each([
    ["no-error before END is a failure", [integer(2, 0)], "stream-failed"],
    ["an unknown number is a failure", [integer(2, 13)], "stream-failed"],
    ["a number of GOAWAY is a failure in RESET", [integer(2, 32)], "stream-failed"],
  ] as [string, Uint8Array[], string][])("%s", (_, [number = integer(2, 0)]) => {
    const victim = new Victim();
    const { id } = victim.open();
    // The comparison with the oracle is in `attack`.
    victim.attack(encodeRaw(0x45, join(integer(4, id), number)));
    expect(victim.session.openStreams).toBe(0);
  });

  test("no-error after END is no error", () => {
    const victim = new Victim();
    const { id } = victim.open();
    victim.attack([head(id), end(id), reset(id, "no-error")]);
    expect(victim.session.openStreams).toBe(0);
  });
});

describe("GOAWAY:", () => {
  test("an OPEN that comes after ours is discarded with all its frames, and does not raise the last id", () => {
    const victim = new Victim();
    victim.attack([open(5)]);
    victim.session.goaway("drain", "going-away", 1_000, "");
    expect(victim.flush().slice(-1)).toMatchObject([
      { record: "GOAWAY", kind: "drain", lastStream: 5, graceMs: 1_000 },
    ]);
    expect(victim.attack([data(5), open(7), data(7)])).toEqual([]);
    expect(victim.attack([end(7), open(9)])).toEqual([]);
    victim.session.goaway("bye", "goodbye", 0, "");
    expect(victim.flush().slice(-1)).toMatchObject([{ record: "GOAWAY", kind: "bye", lastStream: 5 }]);
    expect(victim.attack([data(11)])).toEqual(error);
  });

  test("our streams above the peer's last id are over, the others go on", () => {
    const victim = new Victim();
    const streams = [victim.open(), victim.open(), victim.open({ unsent: true })];
    victim.attack([goaway("drain", 2)]);
    expect(streams.map((stream) => stream.closed)).toEqual([false, true, true]);
    expect(victim.session.open(1, new Uint8Array(0), silent)).toBeUndefined();
    // The third had no OPEN yet, so that nothing of it was or will be on the wire.
    expect(victim.attack([head(2), end(2), data(4)])).toEqual([]);
    expect(victim.attack([head(6)])).toEqual(error);
  });
});

describe("floods:", () => {
  const pair = (id: number, spoil: (id: number) => OracleRecord): OracleRecord[] => [open(id, 0), spoil(id)];
  /** How many streams the peer can spoil before GOAWAY, and the answer; with everything acknowledged or nothing. */
  function flood(
    victim: Victim,
    most: number,
    spoil: (id: number) => OracleRecord,
    acks: boolean,
  ): [number, string] {
    let id = 1;
    for (let count = 0; count < most; count += 100) {
      const records: OracleRecord[] = acks ? [ack(victim.oracle.sentCount)] : [];
      for (let one = 0; one < 100; one++, id += 2) records.push(...pair(id, spoil));
      victim.feed(records);
      for (const record of victim.flush()) if (record.record === "GOAWAY") return [count + 100, record.code];
    }
    return [most, "none"];
  }

  test("20,000 opened and reset at once are suffered, and not one more", () => {
    const victim = new Victim();
    expect(flood(victim, 20_000, reset, true)).toEqual([20_000, "none"]);
    expect(flood(new Victim(), 30_000, reset, true)).toEqual([20_100, "too-many-resets"]);
  });

  test("2,000 a second are suffered for long", () => {
    const victim = new Victim();
    let id = 1;
    for (let tick = 0; tick < 300; tick++) {
      victim.nowMs += 100;
      const records: OracleRecord[] = [ack(victim.oracle.sentCount)];
      for (let one = 0; one < 200; one++, id += 2) records.push(...pair(id, reset));
      victim.feed(records);
      victim.flush();
    }
    expect(victim.session.over).toBe(false);
  });

  test("an agent suffers any number: they are visitors', of whom one must not cost the others their streams", () => {
    const victim = new Victim({ side: "agent" });
    for (let id = 2; id < 120_000; id += 400) {
      const records = Array.from({ length: 200 }, (_, at) => [open(id + at * 2, 0), reset(id + at * 2)]);
      victim.feed([ack(victim.oracle.sentCount), ...records.flat()]);
      victim.flush();
    }
    expect([victim.session.over, victim.session.openStreams]).toEqual([false, 0]);
  });

  test.each([
    ["frames unknown", (id: number) => unknown(id)],
    ["kinds unknown", (id: number) => open(id + 100_000, 0, unservedKind)],
  ])("resets that the peer provokes count like its own: %s", (name, spoil) => {
    if (name === "kinds unknown") {
      const victim = new Victim();
      const records = (from: number) =>
        Array.from({ length: 1_000 }, (_, at) => open(from + at * 2, 0, unservedKind));
      let said: string[] = [];
      for (let from = 1; from < 60_000 && said.length === 0; from += 2_000) {
        victim.feed([ack(victim.oracle.sentCount), ...records(from)]);
        said = victim.flush().flatMap((record) => (record.record === "GOAWAY" ? [record.code] : []));
      }
      expect(said).toEqual(["too-many-resets"]);
      return;
    }
    expect(flood(new Victim(), 30_000, spoil, true)).toEqual([20_100, "too-many-resets"]);
  });

  test("resets that can't leave because the peer acknowledges nothing are bounded", () => {
    const victim = new Victim();
    const [count, code] = flood(victim, 100_000, unknown, false);
    expect(code).toBe("too-many-resets");
    // Some filled the flight budget, the rest waited.
    expect(count).toBeLessThanOrEqual(20_100);
    victim.checkFreed();
  });

  test("a peer that acknowledges nothing gets no more than the flight budget, and control goes on", () => {
    const victim = new Victim();
    const streams = Array.from({ length: 8 }, () => victim.open());
    for (const { id } of streams) victim.attack([credit(id, 10_000_000)]);
    for (let round = 0; round < 100; round++) {
      for (const stream of streams) if (stream.queued < 90_000) stream.write(new Uint8Array(20_000));
      victim.flush();
    }
    expect(victim.session.unacknowledgedBytes).toBeGreaterThanOrEqual(limits.minFlightBytes);
    expect(victim.session.unacknowledgedBytes).toBeLessThan(limits.minFlightBytes + limits.maxMessageBytes);
    victim.feed([open(1, 0)]);
    victim.nowMs = limits.ackDelayMs;
    expect(victim.flush()).toEqual([ack(1)]);
  });
});

const silent = { head() {}, data() {}, end() {}, left() {}, reset() {}, writable() {} };
