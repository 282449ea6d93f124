import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import { decodeMessage, encodeMessage } from "../oracle/codec.ts";
import { kindsOf, opened, pollAll } from "./cut-wires.ts";
import { Pair } from "./pair.ts";
import { Talk } from "./talk.ts";

describe("what is of its moment", () => {
  test("CREDIT is told again with the present limit, only where it is above the first and there is more to come", () => {
    const pair = new Pair();
    const [raised] = opened(pair, pair.relay);
    const [ended] = opened(pair, pair.relay);
    opened(pair, pair.relay);
    raised.write(60_000);
    ended.write(60_000);
    ended.writeEnd();
    pair.settle();
    pair.resume();
    const restated = pollAll(pair, pair.agent);
    expect(restated.map(({ records }) => records)).toEqual([
      [{ record: "CREDIT", limits: [{ stream: 2, limit: expect.any(Number) }] }],
    ]);
    expect(pollAll(pair, pair.relay)).toEqual([]);
  });

  test("CREDIT that waited when the link went, and never left, is told on the next", () => {
    const pair = new Pair({ slow: () => true });
    const [talk, ear] = opened(pair, pair.relay);
    talk.write(90_000);
    pair.settle();
    expect(ear.read).toBeLessThan(90_000);
    ear.take(ear.held);
    // Waits for a poll that does not come.
    pair.resume();
    expect(pollAll(pair, pair.agent).map(kindsOf)).toEqual([["CREDIT"]]);
    pair.settle();
    expect(ear.read).toBe(90_000);
  });

  test("CREDIT that falls due while there is no link is told on the next", () => {
    const pair = new Pair({ slow: () => true });
    const [talk, ear] = opened(pair, pair.relay);
    talk.write(90_000);
    pair.settle();
    pair.cut();
    ear.take(ear.held);
    pair.agent.session.poll(pair.nowMs);
    pair.resume();
    pair.settle();
    expect(ear.read).toBe(90_000);
  });

  test("CREDIT that got lost is told again: the writer goes on", () => {
    const pair = new Pair({ slow: () => true });
    const [talk, ear] = opened(pair, pair.relay);
    talk.write(90_000);
    pair.settle();
    ear.take(ear.held);
    expect(kindsOf(pair.poll(pair.agent))).toEqual(["CREDIT"]);
    pair.resume();
    pair.settle();
    expect(ear.read).toBe(90_000);
  });

  test("CREDIT of more streams than one message has room for comes in several, before what is sent again", () => {
    const streams = 6_000;
    const [memory, window] = [new Memory(2 ** 31), limits.initialWindowBytes];
    const session = new Session(
      { side: "agent", window, peerWindow: window, streams, peerStreams: 9, memory },
      0,
    );
    const talks: Talk[] = [];
    session.handler = {
      opened: (stream) => {
        const talk = new Talk("agent", true).bind(stream);
        talks.push(talk);
        return talk;
      },
      ...{ wake() {}, datagram() {}, doubted() {}, goaway() {}, over() {} },
    };
    const head = "00".repeat(17_000);
    for (let id = 2; id <= 2 * streams; id += 2)
      session.handleMessage(encodeMessage([{ record: "OPEN", stream: id, kind: 1, head }]), 0);
    const kinds = () => {
      const all: string[][] = [];
      for (let bytes = session.poll(0); bytes !== undefined; bytes = session.poll(0)) {
        const { records } = decodeMessage(bytes);
        all.push(records.map(({ record }) => record));
        for (const record of records)
          if (record.record === "CREDIT") for (const { stream } of record.limits) told.add(stream);
      }
      return all;
    };
    const told = new Set<number>();
    talks[0]?.write(100);
    kinds();
    expect(told.size).toBe(streams);
    told.clear();
    session.suspend();
    session.resume({ peerReceived: 0, told: streams, tripMs: 0 }, 0);
    expect(kinds()).toEqual([["CREDIT"], ["CREDIT"], ["DATA"]]);
    expect(told.size).toBe(streams);
  });

  test("GOAWAY is told again with what is left of its grace, at every new link, once each", () => {
    const pair = new Pair();
    opened(pair, pair.relay);
    pair.relay.session.goaway("drain", "going-away", 10_000, "restart");
    pair.settle();
    const saidMs = pair.nowMs;
    for (const [afterMs, graceMs] of [
      [4_000, 6_000],
      [9_999.6, 0],
      [12_000, 0],
    ] as const) {
      pair.nowMs = saidMs + afterMs;
      pair.resume();
      expect(pollAll(pair, pair.relay).map(({ records }) => records)).toEqual([
        [
          {
            ...{ record: "GOAWAY", kind: "drain", code: "going-away", lastStream: 0 },
            ...{ graceMs, reason: "restart" },
          },
        ],
      ]);
    }
  });

  test("GOAWAY that was said without a link is told on the next, with the last stream id of then", () => {
    const pair = new Pair();
    opened(pair, pair.agent);
    pair.cut();
    pair.relay.session.goaway("bye", "going-away", 500, "");
    pair.resume();
    expect(pollAll(pair, pair.relay)[0]?.records).toMatchObject([
      { record: "GOAWAY", kind: "bye", lastStream: 1, graceMs: 500 },
    ]);
    pair.settle();
    expect(pair.agent.goaways).toEqual(["bye going-away"]);
  });

  test("the grace of a GOAWAY counts from when it was said, however long the session was silent before", () => {
    const pair = new Pair();
    opened(pair, pair.relay);
    pair.nowMs = 1_000_000;
    pair.relay.session.goaway("drain", "going-away", 10_000, "", pair.nowMs);
    pair.settle();
    pair.nowMs += 4_000;
    pair.resume();
    expect(pollAll(pair, pair.relay)[0]?.records).toMatchObject([{ record: "GOAWAY", graceMs: 6_000 }]);
  });

  test("datagrams that waited are dropped, and those of later arrive", () => {
    const pair = new Pair();
    const [talk] = opened(pair, pair.relay);
    const got: number[] = [];
    const { handler } = pair.agent.session;
    if (handler !== undefined) handler.datagram = (_, payload) => got.push(payload[0] ?? 0);
    const { session } = pair.relay;
    session.sendDatagram(talk.stream, Uint8Array.of(1));
    pair.cut();
    expect(session.sendDatagram(talk.stream, Uint8Array.of(2))).toBe(false);
    pair.resume();
    expect(session.sendDatagram(talk.stream, Uint8Array.of(3))).toBe(true);
    pair.settle();
    expect(got).toEqual([3]);
  });

  test("DOUBT that waited is dropped", () => {
    const pair = new Pair();
    const doubts: number[] = [];
    const { handler } = pair.agent.session;
    if (handler !== undefined) handler.doubted = (slot) => doubts.push(slot);
    pair.relay.session.doubt(1);
    pair.cut();
    pair.relay.session.doubt(2);
    pair.resume();
    pair.settle();
    expect(doubts).toEqual([]);
    pair.relay.session.doubt(3);
    pair.relay.session.doubt(3);
    pair.settle();
    expect(doubts).toEqual([3]);
  });
});

describe("a stream that", () => {
  test("is opened without a link waits for the next, and one whose OPEN got lost is opened once", () => {
    const pair = new Pair();
    const lost = pair.relay.open(10);
    pair.poll(pair.relay);
    pair.cut();
    const waits = pair.relay.open(10);
    pair.resume();
    pair.settle();
    expect([...pair.agent.talks.keys()]).toEqual([lost?.stream.id ?? 0, waits?.stream.id ?? 0]);
  });

  test("is told drain before its OPEN has left, or was looked at, was not processed; others are not told", () => {
    const pair = new Pair();
    const [seen] = opened(pair, pair.relay);
    const late = pair.relay.open(10);
    pair.poll(pair.relay);
    const waits = pair.relay.open(10);
    pair.agent.session.goaway("drain", "going-away", 1_000, "");
    const drain = pair.poll(pair.agent);
    expect(kindsOf(drain)).toEqual(["GOAWAY"]);
    pair.deliver(pair.relay);
    expect([seen, late, waits].map((talk) => talk?.heardReset)).toEqual([
      undefined,
      "unprocessed",
      "unprocessed",
    ]);
    // The link dies with that OPEN on it: sent again, it is discarded.
    pair.resume();
    pair.settle();
    expect(pair.agent.talks.size).toBe(1);
    expect(pair.ends.map((end) => end.session.openStreams)).toEqual([1, 1]);
  });

  test("is reset before its OPEN has left says nothing", () => {
    const pair = new Pair();
    pair.cut();
    pair.relay.open(10)?.writeReset("cancelled");
    pair.resume();
    pair.settle();
    expect([pair.relay.sent.length, pair.agent.talks.size]).toEqual([0, 0]);
  });
});
