import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import { encodeMessage } from "../oracle/codec.ts";
import { type End, Pair } from "./pair.ts";
import { Talk } from "./talk.ts";

function opened(pair: Pair, end: End, slow = false): [Talk, Talk] {
  const talk = end.open(10, slow);
  if (talk === undefined) throw new Error("the stream is refused");
  pair.settle();
  const other = pair.peerOf(end).talks.get(talk.stream.id);
  if (other === undefined) throw new Error("the stream did not arrive");
  return [talk, other];
}

/** Keeps the stream's queue full. */
function pour(talk: Talk): void {
  talk.onWritable = () => {
    while (!talk.full) talk.write(32_768);
  };
  talk.onWritable();
}

/** Lets the time run, millisecond by millisecond, over a wire with a rate and a length. */
function runSlowly(pair: Pair, ms: number, wire: { tripMs: number; bytesPerMs: number }): void {
  const ways = pair.ends.map((end) => ({ end, to: pair.peerOf(end), freeMs: 0, arrivals: [] as number[] }));
  for (const untilMs = pair.nowMs + ms; pair.nowMs < untilMs; pair.nowMs++) {
    for (const way of ways) {
      for (let sent = pair.poll(way.end); sent !== undefined; sent = pair.poll(way.end)) {
        way.freeMs = Math.max(way.freeMs, pair.nowMs) + sent.bytes.length / wire.bytesPerMs;
        way.arrivals.push(way.freeMs + wire.tripMs / 2);
      }
      for (; (way.arrivals[0] ?? Number.POSITIVE_INFINITY) <= pair.nowMs; way.arrivals.shift())
        pair.deliver(way.to);
    }
  }
  for (const way of ways) for (const _ of way.arrivals) pair.deliver(way.to);
}

describe("credit", () => {
  test("comes back for heads alone: any number of 1xx answers and a last one arrive", () => {
    const pair = new Pair();
    const [asks, answers] = opened(pair, pair.relay);
    for (let one = 0; one < 20; one++) answers.writeHead(20_000);
    answers.writeEnd();
    pair.settle();
    expect(asks.heard.length).toBe(21);
  });

  test("leaves room for trailers of the largest size, whatever came before and as long as nothing is held", () => {
    for (let before = 0; before < 65_536; before += 1_511) {
      const pair = new Pair();
      const [asks, answers] = opened(pair, pair.relay);
      answers.write(before);
      answers.writeHead(limits.maxHeadFieldsBytes);
      answers.writeEnd();
      pair.settle();
      expect(asks.heard.at(-1)).toEqual(["end", 0]);
    }
  });

  test("is not used up by a reader that always has a byte left", () => {
    const pair = new Pair({ slow: () => true });
    const [writes, reads] = opened(pair, pair.relay);
    for (let round = 0; round < 5_000; round++) {
      writes.write(100);
      pair.settle();
      reads.take(reads.held - 1);
    }
    // All has arrived: the writer was never stopped for long.
    pair.settle();
    expect(reads.read).toBe(500_000);
  });

  test("is not given for what a slow reader holds", () => {
    const pair = new Pair({ slow: () => true });
    const [writes, reads] = opened(pair, pair.relay);
    for (let round = 0; round < 20; round++) if (!writes.full) writes.write(50_000);
    pair.settle();
    expect(reads.held).toBeLessThanOrEqual(65_536);
    expect(writes.stream.queued).toBeLessThanOrEqual(limits.streamQueueHighBytes + 50_000);
    const read = reads.read;
    pair.nowMs += 60_000;
    pair.settle();
    expect(reads.read).toBe(read);
    reads.take(reads.held);
    pair.settle();
    expect(reads.read).toBeGreaterThan(read);
  });

  test.each([
    ["up", true],
    ["down", false],
  ])("grows while the reader is quick and the way is long, %sstream, and is given back", (_, up) => {
    const pair = new Pair({ tripMs: 100 });
    const talk = pair.relay.open(10);
    runSlowly(pair, 150, { tripMs: 100, bytesPerMs: 10_000 });
    const writes = up ? talk : pair.agent.talks.get(2);
    const reads = up ? pair.agent.talks.get(2) : talk;
    if (writes === undefined || reads === undefined) throw new Error("no stream");
    pour(writes);
    runSlowly(pair, 3_000, { tripMs: 100, bytesPerMs: 10_000 });
    // A first window a round trip would be 2 MB.
    expect(reads.read).toBeGreaterThan(10_000_000);
    writes.onWritable = undefined;
    writes.writeReset("cancelled");
    runSlowly(pair, 500, { tripMs: 100, bytesPerMs: 10_000 });
    expect(pair.ends.map((end) => end.memory.reservedBytes)).toEqual([0, 0]);
  });

  test("both sides may finish at once with more queued than either has credit for", () => {
    const pair = new Pair();
    const talk = pair.relay.open(0);
    if (talk === undefined) throw new Error("refused");
    pair.poll(pair.relay);
    pair.deliver(pair.agent);
    const other = pair.agent.talks.get(talk.stream.id);
    for (const side of [talk, other]) {
      side?.write(90_000);
      side?.write(8_000);
      side?.writeEnd();
      side?.writeReset("no-error");
    }
    pair.settle();
    expect(pair.ends.map((end) => end.session.openStreams)).toEqual([0, 0]);
  });
});

describe("memory", () => {
  test("single bytes fill a stream's queue as well", () => {
    const pair = new Pair();
    const talk = pair.relay.open(0);
    if (talk === undefined) throw new Error("refused");
    let pieces = 0;
    while (!talk.full && pieces < 100_000) {
      talk.write(1);
      pieces++;
    }
    expect(pieces).toBeLessThanOrEqual(limits.streamQueueHighBytes);
  });

  test("is reserved under the cap whatever grows first", () => {
    const memory = new Memory(1_000_000);
    expect(memory.admit(100_000)).toBe(true);
    while (memory.grow(50_000)) expect(memory.reservedBytes).toBeLessThanOrEqual(1_000_000);
    while (memory.admit(50_000)) expect(memory.reservedBytes).toBeLessThanOrEqual(1_000_000);
    expect(memory.reservedBytes).toBeLessThanOrEqual(1_000_000);
  });

  test("that streams have grown into leaves first windows their half, so that bulk can't shut out new streams", () => {
    const memory = new Memory(1_000_000);
    while (memory.grow(50_000));
    for (let stream = 0; stream < 9; stream++) expect(memory.admit(50_000)).toBe(true);
  });

  test("that is short refuses streams and lets those that are open go on", () => {
    const pair = new Pair({ capBytes: 4 * 65_536 });
    const [writes, reads] = opened(pair, pair.relay);
    expect(pair.relay.open(10)).toBeDefined();
    expect(pair.relay.open(10)).toBeUndefined();
    writes.write(90_000);
    pair.settle();
    expect(reads.read).toBe(90_000);
  });

  test("that is short at the other side only is told by RESET", () => {
    const pair = new Pair({ agentWindow: 1_048_576, capBytes: 3 * 1_048_576 });
    opened(pair, pair.relay);
    const second = pair.relay.open(10);
    pair.settle();
    expect(second?.heardReset).toBe("too-many-streams");
    expect(pair.agent.session.openStreams).toBe(1);
  });
});

describe("acknowledgement", () => {
  test("comes within 25 ms, and rides on what goes anyway", () => {
    const pair = new Pair();
    const { relay, agent } = pair;
    const talk = relay.open(10);
    pair.poll(relay);
    pair.deliver(agent);
    expect(pair.poll(agent)).toBeUndefined();
    expect(agent.session.deadlineMs).toBe(25);
    agent.talks.get(2)?.write(10);
    expect(pair.poll(agent)?.records.map(({ record }) => record)).toEqual(["ACK", "DATA"]);
    expect(agent.session.deadlineMs).toBeUndefined();
    talk?.writeReset("cancelled");
    pair.poll(relay);
    pair.deliver(agent);
    expect(pair.poll(agent)).toBeUndefined();
    expect(agent.session.deadlineMs).toBe(25);
    pair.nowMs = 25;
    expect(pair.poll(agent)?.records).toEqual([{ record: "ACK", count: 2 }]);
  });

  test("does not wait 25 ms when 65,536 bytes have come", () => {
    const pair = new Pair({ agentWindow: 1_048_576, slow: () => true });
    const [talk] = opened(pair, pair.relay);
    talk.write(98_000);
    // The time stands still.
    let untold = 0;
    while (untold < limits.ackEveryBytes) {
      expect(pair.poll(pair.agent)).toBeUndefined();
      const sent = pair.poll(pair.relay);
      if (sent === undefined) throw new Error("the relay stops");
      untold += sent.bytes.length;
      pair.deliver(pair.agent);
    }
    expect(pair.poll(pair.agent)?.records[0]).toEqual({ record: "ACK", count: pair.agent.oracle.received });
  });

  test("of a long way lets about twice the rate times the round trip be in flight", () => {
    // 5 MB/s and 100 ms: 1 MB is twice rate times trip.
    const wire = { tripMs: 100, bytesPerMs: 5_000 };
    const pair = new Pair({ agentWindow: 16_777_216, capBytes: 2 ** 34 });
    const talk = pair.relay.open(10);
    if (talk === undefined) throw new Error("refused");
    pour(talk);
    runSlowly(pair, 3_000, wire);
    const { budgetBytes } = pair.relay.session.ledger.flight;
    expect(budgetBytes).toBeGreaterThan(600_000);
    expect(budgetBytes).toBeLessThan(2_000_000);
    expect(pair.agent.talks.get(2)?.read ?? 0).toBeGreaterThan(0.8 * 2_500 * wire.bytesPerMs);
  });
});

describe("a session", () => {
  test("gets on when the first in turn was reset before its OPEN left", () => {
    const pair = new Pair();
    const first = pair.relay.open(10);
    const second = pair.relay.open(40_000);
    first?.writeReset("cancelled");
    pair.settle();
    expect([...pair.agent.talks.keys()]).toEqual([second?.stream.id ?? 0]);
  });

  test("throws for head fields that no frame may carry, and is none the worse", () => {
    const pair = new Pair();
    expect(() => pair.relay.open(limits.maxHeadFieldsBytes + 1)).toThrow(RangeError);
    const [talk, other] = opened(pair, pair.relay);
    expect(() => other.writeHead(limits.maxHeadFieldsBytes + 1)).toThrow(RangeError);
    talk.writeHead(limits.maxHeadFieldsBytes);
    pair.settle();
    expect(other.heard).toEqual([["head", limits.maxHeadFieldsBytes]]);
  });

  test("hears nothing more when a handler ends it in the middle of a message", () => {
    const heard: string[] = [];
    const memory = new Memory(2 ** 30);
    const window = 65_536;
    const session = new Session(
      { side: "relay", window, peerWindow: window, streams: 9, peerStreams: 9, memory },
      0,
    );
    session.handler = {
      opened: (stream) => {
        heard.push(`OPEN ${stream.id}`);
        return {
          head: () => {},
          data: () => {
            heard.push("DATA");
            session.goaway("error", "internal-error", 0, "enough");
          },
          end: () => heard.push("END"),
          left: () => {},
          reset: (code) => heard.push(code),
          writable: () => {},
        };
      },
      wake: () => {},
      datagram: () => {},
      doubted: () => {},
      goaway: () => {},
      over: (code) => heard.push(`over ${code}`),
    };
    session.handleMessage(
      encodeMessage([
        { record: "OPEN", stream: 1, kind: 1, head: "" },
        { record: "DATA", stream: 1, bytes: "00" },
        { record: "END", stream: 1 },
        { record: "OPEN", stream: 3, kind: 1, head: "" },
      ]),
      0,
    );
    expect(heard).toEqual(["OPEN 1", "DATA", "internal-error", "over internal-error"]);
    expect(memory.reservedBytes).toBe(0);
    expect(session.openStreams).toBe(0);
  });

  test("whose link is lost tells every stream, frees all, and says nothing more", () => {
    const pair = new Pair({ slow: () => true });
    const talks = [pair.relay.open(10), pair.relay.open(10), pair.relay.open(10)];
    pair.settle();
    talks[0]?.write(200_000);
    talks[1]?.writeEnd();
    pair.poll(pair.relay);
    pair.relay.session.lost("link-lost");
    expect(talks.map((talk) => talk?.heardReset)).toEqual(["link-lost", "link-lost", "link-lost"]);
    expect(pair.relay.over).toBe("link-lost");
    expect(pair.relay.memory.reservedBytes).toBe(0);
    expect(pair.relay.session.unacknowledgedBytes).toBe(0);
    pair.relay.awake = true;
    expect(pair.poll(pair.relay)).toBeUndefined();
    expect(pair.relay.open(10)).toBeUndefined();
  });

  test("that says an error says GOAWAY once, with the reason cut to size, and nothing after", () => {
    const pair = new Pair();
    opened(pair, pair.relay);
    pair.relay.session.goaway("error", "internal-error", 0, "é".repeat(2_000));
    const message = pair.poll(pair.relay);
    expect(message?.records).toMatchObject([{ record: "GOAWAY", kind: "error", code: "internal-error" }]);
    expect(message?.bytes.length).toBeLessThanOrEqual(4 + 12 + limits.maxReasonBytes);
    pair.relay.awake = true;
    expect(pair.poll(pair.relay)).toBeUndefined();
    pair.deliver(pair.agent);
    expect(pair.agent.over).toBe("internal-error");
    expect(pair.agent.session.openStreams).toBe(0);
  });

  test("that drains lets open streams end, and takes and opens no new ones", () => {
    const pair = new Pair();
    const [talk, other] = opened(pair, pair.relay);
    // On its way when the agent says drain.
    const late = pair.relay.open(10);
    pair.poll(pair.relay);
    pair.agent.session.goaway("drain", "going-away", 1_000, "restart");
    pair.settle();
    expect(late?.heardReset).toBe("unprocessed");
    expect(pair.relay.goaways).toEqual(["drain going-away"]);
    expect(pair.relay.open(10)).toBeUndefined();
    expect(pair.agent.talks.size).toBe(1);
    talk.write(300_000);
    talk.writeEnd();
    other.writeEnd();
    pair.settle();
    expect(other.read).toBe(300_000);
    expect(pair.ends.map((end) => end.session.resting)).toEqual([true, true]);
  });

  test("that leaves is told to whoever ends the session at once after what it has not looked at", () => {
    const pair = new Pair();
    opened(pair, pair.relay);
    const late = pair.relay.open(10);
    pair.poll(pair.relay);
    const told = pair.relay.session.handler;
    if (told === undefined) throw new Error("nobody hears the session");
    pair.relay.session.handler = Object.assign(Object.create(told), {
      goaway: () => pair.relay.session.goaway("error", "goodbye", 0, ""),
    });
    pair.agent.session.goaway("bye", "goodbye", 0, "");
    pair.settle();
    expect(late?.heardReset).toBe("unprocessed");
  });

  test("sends datagrams beside streams, drops the oldest when too much waits, and none for what is not open", () => {
    const pair = new Pair();
    const [talk] = opened(pair, pair.relay);
    const { session } = pair.relay;
    for (let at = 0; at < 20; at++)
      session.sendDatagram(talk.stream, new Uint8Array(limits.maxDatagramBytes).fill(at));
    session.sendDatagram(talk.stream, new Uint8Array(limits.maxDatagramBytes + 1));
    const got: number[] = [];
    const { handler } = pair.agent.session;
    if (handler !== undefined) handler.datagram = (_, payload) => got.push(payload[0] ?? 0);
    pair.settle();
    expect(got).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    pair.settle();
    expect(pair.ends.map((end) => end.over)).toEqual([undefined, undefined]);
  });
});

test("a talk of the tests itself notices a wrong byte", () => {
  const pair = new Pair();
  const [, other] = opened(pair, pair.relay);
  expect(() => other.data(Uint8Array.of(255, 255))).toThrow("is another");
  expect(new Talk("relay", false).heard).toEqual([]);
});
