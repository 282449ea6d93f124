import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/mux/limits.ts";
import type { OracleRecord } from "../oracle/codec.ts";
import { type End, Pair } from "./pair.ts";
import type { Talk } from "./talk.ts";

/** Enough credit that only turns and the flight budget rule. */
const wide = { agentWindow: limits.maxWindowBytes, relayWindow: limits.maxWindowBytes, capBytes: 2 ** 34 };
/** A turn ends with the piece that reaches it. */
const turnBytes = limits.turnBytes + limits.frameCost;
/** The links of these tests are as quick as can be. */
const longTurnBytes = limits.maxMessageBytes + limits.frameCost;

/** Keeps the stream's queue full: as much as the session lets it. */
function pour(talk: Talk): void {
  const fill = () => {
    while (!talk.full) talk.write(32_768);
  };
  talk.onWritable = fill;
  fill();
}

/** Bytes of DATA of `stream` in what was sent. */
function dataBytes(records: OracleRecord[], stream: number): number {
  return records.reduce(
    (sum, record) =>
      sum + (record.record === "DATA" && record.stream === stream ? record.bytes.length / 2 : 0),
    0,
  );
}

/** Polls until the flight budget, or the queues, say no more. Returns the records in order. */
function drain(pair: Pair, end: End): OracleRecord[] {
  const records: OracleRecord[] = [];
  for (let messages = 0; messages < 1_000; messages++) {
    const message = pair.poll(end);
    if (message === undefined) return records;
    records.push(...message.records);
  }
  throw new Error("the budget does not end it");
}

/** Polls until `done`; returns the number of messages. */
function pollUntil(pair: Pair, end: End, records: OracleRecord[], done: () => boolean): number {
  for (let messages = 0; messages < 200; messages++) {
    if (done()) return messages;
    records.push(...(pair.poll(end)?.records ?? []));
  }
  throw new Error("it does not come to that");
}

/** Delivers all that is on its way to `end`, and what that side answers. */
function exchange(pair: Pair, end: End): void {
  const peer = pair.peerOf(end);
  while (peer.inbox.length > 0) pair.deliver(peer);
  drain(pair, peer);
  while (end.inbox.length > 0) pair.deliver(end);
}

function start(pair: Pair, end: End, streams: number): Talk[] {
  const talks = Array.from({ length: streams }, () => {
    const talk = end.open(10);
    if (talk === undefined) throw new Error("the stream is refused");
    return talk;
  });
  drain(pair, end);
  exchange(pair, end);
  return talks;
}

describe("turns are fair:", () => {
  test("50 small streams wait for no more than two turns of a bulk one", () => {
    const pair = new Pair(wide);
    const [bulk, ...small] = start(pair, pair.relay, 51) as [Talk, ...Talk[]];
    pour(bulk);
    // The bulk stream is in the middle of its own when the small ones come.
    pair.poll(pair.relay);
    for (const talk of small) talk.write(200);
    const records: OracleRecord[] = [];
    pollUntil(pair, pair.relay, records, () => small.every((talk) => talk.stream.queued === 0));
    const last = records.findLastIndex(
      (record) => record.record === "DATA" && record.stream !== bulk.stream.id,
    );
    expect(dataBytes(records.slice(0, last), bulk.stream.id)).toBeLessThanOrEqual(2 * turnBytes);
  });

  test("a small stream that comes to 10 bulk ones waits for none but what a message's end has cut", () => {
    const pair = new Pair(wide);
    const [small, ...bulks] = start(pair, pair.relay, 11) as [Talk, ...Talk[]];
    for (const bulk of bulks) pour(bulk);
    for (let round = 0; round < 5; round++) {
      drain(pair, pair.relay);
      exchange(pair, pair.relay);
      small.write(100);
      const records: OracleRecord[] = [];
      pollUntil(pair, pair.relay, records, () => small.stream.queued === 0);
      const own = records.findIndex(
        (record) => record.record === "DATA" && record.stream === small.stream.id,
      );
      const before = records.slice(0, own);
      const ahead = bulks.map((bulk) => dataBytes(before, bulk.stream.id));
      expect(ahead.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(longTurnBytes);
    }
  });

  test("two bulk streams get the same share, within 2 %, whatever the size of their writes", () => {
    const pair = new Pair(wide);
    const [even, odd] = start(pair, pair.relay, 2) as [Talk, Talk];
    pour(even);
    odd.onWritable = () => {
      while (!odd.full) odd.write(1_000);
    };
    odd.onWritable();
    const records: OracleRecord[] = [];
    for (let round = 0; round < 5; round++) {
      records.push(...drain(pair, pair.relay));
      exchange(pair, pair.relay);
      const [one = 0, other = 0] = [even, odd].map((talk) => dataBytes(records, talk.stream.id));
      expect(Math.abs(one - other)).toBeLessThanOrEqual(longTurnBytes + (one + other) * 0.02);
    }
    expect(dataBytes(records, even.stream.id)).toBeGreaterThan(1_000_000);
  });

  test("a bulk stream is not starved by small ones that come without end", () => {
    const pair = new Pair({ ...wide, streams: 1_000 });
    const [bulk] = start(pair, pair.relay, 1) as [Talk];
    pour(bulk);
    let sent = 0;
    for (let round = 0; round < 6; round++) {
      for (let one = 0; one < 40; one++) {
        const talk = pair.relay.open(300);
        talk?.write(2_000);
        talk?.writeEnd();
      }
      sent += dataBytes(drain(pair, pair.relay), bulk.stream.id);
      exchange(pair, pair.relay);
    }
    expect(sent).toBeGreaterThan(6 * limits.turnBytes);
  });

  test("two streams share a link of any rate alike", () => {
    for (const bytesPerMs of [100_000, 140_000, 190_000, 300_000]) {
      const pair = new Pair(wide);
      const talks = start(pair, pair.relay, 2);
      Object.defineProperty(pair.relay.session.ledger.flight, "linkRate", { value: bytesPerMs });
      for (const talk of talks) pour(talk);
      const records: OracleRecord[] = [];
      for (let messages = 0; messages < 60; messages++) {
        const message = pair.poll(pair.relay);
        if (message === undefined) exchange(pair, pair.relay);
        else records.push(...message.records);
      }
      const [one = 0, other = 0] = talks.map(({ stream }) => dataBytes(records, stream.id));
      expect(Math.abs(one - other)).toBeLessThanOrEqual(longTurnBytes + (one + other) * 0.02);
    }
  });

  test("new streams without end leave half of the link to a bulk one", () => {
    const pair = new Pair({ ...wide, streams: 1_000 });
    const [bulk] = start(pair, pair.relay, 1) as [Talk];
    pour(bulk);
    const bytes = { bulk: 0, all: 0 };
    for (let round = 0; round < 8; round++) {
      for (let one = 0; one < 60; one++) {
        const talk = pair.relay.open(300);
        talk?.write(16_000);
        talk?.writeEnd();
      }
      const records = drain(pair, pair.relay);
      exchange(pair, pair.relay);
      // While both wait: up to the last of the new ones.
      const last = records.findLastIndex(
        (record) => record.record === "DATA" && record.stream !== bulk.stream.id,
      );
      for (const record of records.slice(0, last + 1)) {
        if (record.record !== "DATA") continue;
        bytes.all += record.bytes.length / 2;
        if (record.stream === bulk.stream.id) bytes.bulk += record.bytes.length / 2;
      }
    }
    expect(bytes.bulk).toBeGreaterThan(bytes.all * 0.4);
    expect(bytes.bulk).toBeLessThan(bytes.all * 0.6);
  });

  test("the largest head is not passed over for ever by streams whose frames are small", () => {
    const pair = new Pair({ ...wide, streams: 100 });
    const [head, ...others] = start(pair, pair.relay, 40) as [Talk, ...Talk[]];
    for (const talk of others) pour(talk);
    drain(pair, pair.relay);
    exchange(pair, pair.relay);
    head.writeHead(32_768);
    const opened = pair.relay.open(40_000);
    const records: OracleRecord[] = [];
    for (let round = 0; round < 3; round++) {
      records.push(...drain(pair, pair.relay));
      exchange(pair, pair.relay);
    }
    const at = records.findIndex((record) => record.record === "HEAD" && record.stream === head.stream.id);
    const openAt = records.findIndex(
      (record) => record.record === "OPEN" && record.stream === opened?.stream.id,
    );
    for (const place of [at, openAt]) {
      expect(place).toBeGreaterThanOrEqual(0);
      for (const talk of others)
        expect(dataBytes(records.slice(0, place), talk.stream.id)).toBeLessThanOrEqual(2 * longTurnBytes);
    }
  });

  test("a stream that waits for credit costs the others no turn", () => {
    const pair = new Pair({ ...wide, agentWindow: 65_536, slow: (id) => id === 2 });
    const [stuck, other] = start(pair, pair.relay, 2) as [Talk, Talk];
    pour(stuck);
    drain(pair, pair.relay);
    exchange(pair, pair.relay);
    other.write(50_000);
    expect(dataBytes(drain(pair, pair.relay), other.stream.id)).toBe(50_000);
    expect(stuck.stream.queued).toBeGreaterThan(0);
  });
});

describe("what may wait and what may not:", () => {
  test("OPENs leave in the order of their ids though small ones come after large ones", () => {
    const pair = new Pair(wide);
    for (const size of [40_000, 10, 40_000, 39_000, 10, 10]) pair.relay.open(size);
    const ids = drain(pair, pair.relay).map((record) => (record.record === "OPEN" ? record.stream : 0));
    expect(ids).toEqual([2, 4, 6, 8, 10, 12]);
  });

  test("no more than the flight budget and one message is unacknowledged, and ACK and CREDIT pass by it", () => {
    const pair = new Pair(wide);
    const { relay, agent } = pair;
    const [talk] = start(pair, relay, 1) as [Talk];
    const back = agent.talks.get(talk.stream.id);
    if (back === undefined) throw new Error("the stream did not arrive");
    pour(talk);
    pour(back);
    drain(pair, relay);
    drain(pair, agent);
    for (const end of pair.ends) {
      expect(end.session.unacknowledgedBytes).toBeGreaterThanOrEqual(limits.minFlightBytes);
      expect(end.session.unacknowledgedBytes).toBeLessThan(limits.minFlightBytes + limits.maxMessageBytes);
    }
    // Both are full: only ACKs can free them.
    for (const end of pair.ends) while (end.inbox.length > 0) pair.deliver(end);
    const first = pair.poll(relay);
    expect(first?.records[0]?.record).toBe("ACK");
    expect(first?.counted).toBe(false);
  });

  test("a RESET passes by the data that waits, and the data of its stream is dropped", () => {
    const pair = new Pair(wide);
    const [bulk, other] = start(pair, pair.relay, 2) as [Talk, Talk];
    pour(bulk);
    pour(other);
    bulk.writeReset("cancelled");
    const records = pair.poll(pair.relay)?.records ?? [];
    expect(records[0]).toEqual({ record: "RESET", stream: bulk.stream.id, code: "cancelled" });
    expect(dataBytes([...records, ...drain(pair, pair.relay)], bulk.stream.id)).toBe(0);
  });

  test("a stream's place is free for an OPEN in the message that carries its RESET or END", () => {
    const pair = new Pair({ ...wide, streams: 2 });
    const [one, two] = start(pair, pair.relay, 2) as [Talk, Talk];
    expect(pair.relay.open(10)).toBeUndefined();
    pair.agent.talks.get(two.stream.id)?.writeEnd();
    drain(pair, pair.agent);
    while (pair.relay.inbox.length > 0) pair.deliver(pair.relay);
    one.writeReset("cancelled");
    const three = pair.relay.open(10);
    expect(three).toBeDefined();
    two.writeEnd();
    // END waits for its turn, and until it has left the stream is open.
    expect(pair.relay.open(10)).toBeUndefined();
    drain(pair, pair.relay);
    expect(pair.relay.open(10)).toBeDefined();
    pair.settle();
    expect(pair.agent.session.openStreams).toBe(2);
  });

  test("what one turn of the loop has queued leaves in one message", () => {
    const pair = new Pair(wide);
    const talks = start(pair, pair.relay, 20);
    for (const talk of talks) {
      talk.writeHead(200);
      talk.write(100);
      talk.writeEnd();
    }
    expect(pair.poll(pair.relay)?.records.length).toBe(60);
    expect(pair.poll(pair.relay)).toBeUndefined();
  });
});
