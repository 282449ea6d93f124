import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import { encodeMessage, type OracleRecord } from "../oracle/codec.ts";
import { kindsOf, opened, other, pollAll } from "./cut-wires.ts";
import { Pair } from "./pair.ts";
import { Talk } from "./talk.ts";

/** Every way to say something on a stream, in both directions: what is cut in each of its messages is known. */
const phases: readonly ((pair: Pair) => void)[] = [
  ({ relay, agent }) => {
    const upload = relay.open(500);
    relay.open(30_000);
    relay.open(0);
    upload?.write(60_000);
    agent.open(300)?.write(20_000);
  },
  ({ relay, agent }) => {
    agent.talks.get(2)?.writeHead(200);
    agent.talks.get(2)?.write(90_000);
    agent.talks.get(2)?.write(60_000);
    agent.talks.get(4)?.writeHead(0);
    relay.talks.get(2)?.write(40_000);
    relay.talks.get(2)?.writeEnd();
    relay.talks.get(2)?.writeLeft();
    relay.talks.get(1)?.writeHead(100);
  },
  ({ relay, agent }) => {
    agent.talks.get(2)?.take(70_000);
    agent.talks.get(4)?.writeEnd();
    agent.talks.get(4)?.writeReset("no-error");
    relay.talks.get(6)?.writeReset("cancelled");
    relay.talks.get(1)?.write(70_000);
  },
  ({ relay, agent }) => {
    agent.talks.get(2)?.take(100_000);
    agent.talks.get(2)?.writeEnd();
    agent.talks.get(1)?.writeEnd();
    relay.talks.get(1)?.write(5_000);
    relay.talks.get(1)?.writeEnd();
  },
];

/** Runs the phases; before the step with such a number the link is cut, and the HELLO was made `behind` steps earlier. */
function runCut(cutsAt: readonly number[], behind = 0): number {
  const pair = new Pair({ slow: (id) => id === 2 });
  const told: number[] = [];
  let steps = 0;
  for (const phase of phases) {
    phase(pair);
    do {
      told.push(pair.agent.oracle.received);
      if (cutsAt.includes(steps)) {
        // No earlier than the present link, on which the older count stands for something else.
        const since = Math.max(0, ...cutsAt.filter((at) => at < steps));
        pair.resume({ told: told[Math.max(since, steps - behind)] ?? 0 });
      }
      steps++;
    } while (pair.step());
  }
  const rest = pair.ends.map(({ session, memory, oracle, over }) => [
    ...[session.openStreams, memory.reservedBytes, session.unacknowledgedBytes, session.heldBytes],
    ...[session.resting, oracle.owed, oracle.streams.size, over],
  ]);
  const nothing = [0, 0, 0, 0, true, [], 0, undefined];
  expect([cutsAt, ...rest]).toEqual([cutsAt, nothing, nothing]);
  for (const end of pair.ends) {
    const peer = pair.peerOf(end);
    expect(end.session.ledger.received).toBe(peer.session.ledger.sent);
    for (const [id, talk] of end.talks) {
      const ear = peer.talks.get(id);
      // Who has reset hears no more, and of what he said before all that was read arrives.
      if (id !== 6 && !(id === 4 && end.side === "relay"))
        expect([cutsAt, id, ear?.heard]).toEqual([cutsAt, id, talk.said]);
    }
  }
  expect(pair.agent.talks.get(6)?.heardReset).toBe("cancelled");
  expect(pair.relay.talks.get(4)?.heardReset).toBe("no-error");
  return steps;
}

describe("a session whose link is cut", () => {
  const whole = runCut([]);

  test("at any step loses and doubles nothing", () => {
    expect(whole).toBeGreaterThan(60);
    for (let at = 0; at < whole; at++) runCut([at]);
  });

  test("at any step, with a HELLO that older messages have overtaken, loses and doubles nothing", () => {
    for (const behind of [1, 5]) for (let at = 0; at < whole; at++) runCut([at], behind);
  });

  test("again and again loses and doubles nothing", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(whole + 20), { minLength: 2, maxLength: 12 }),
        fc.nat(6),
        (cutsAt, behind) => void runCut(cutsAt, behind),
      ),
      { numRuns: 150, seed: 3, includeErrorInReport: true },
    );
  });
});

describe("without a link a session", () => {
  test("gives out nothing and takes in nothing, whatever its streams do", () => {
    const pair = new Pair();
    const [talk, ear] = opened(pair, pair.relay);
    talk.write(1_000);
    const late = pair.poll(pair.relay);
    pair.relay.session.goaway("drain", "going-away", 1_000, "");
    pair.cut();
    const fresh = pair.relay.open(10);
    fresh?.write(10);
    talk.writeEnd();
    pair.relay.awake = true;
    expect(pair.poll(pair.relay)).toBeUndefined();
    expect(pair.relay.session.deadlineMs).toBeUndefined();
    pair.agent.session.handleMessage(late?.bytes ?? new Uint8Array(0), 1);
    expect([ear.read, pair.agent.session.ledger.received]).toEqual([0, 1]);
    pair.resume();
    pair.settle();
    expect([ear.heard, other(pair, pair.relay, talk).read]).toEqual([
      [
        ["data", 1_000],
        ["end", 0],
      ],
      1_000,
    ]);
  });

  test("keeps no ACK due, and says on the next what comes there again", () => {
    const pair = new Pair();
    opened(pair, pair.relay);
    const told = pair.agent.oracle.received;
    pair.relay.talks.get(2)?.write(100);
    pair.poll(pair.relay);
    pair.deliver(pair.agent);
    expect(pair.agent.session.deadlineMs).toBe(pair.nowMs + limits.ackDelayMs);
    pair.cut();
    expect(pair.agent.session.deadlineMs).toBeUndefined();
    pair.resume({ told });
    // Before, the relay would leave it out, and the numbers of what follows would be others for either side.
    expect([pair.poll(pair.agent), pair.agent.session.deadlineMs]).toEqual([undefined, undefined]);
    expect(kindsOf(pair.poll(pair.relay))).toEqual(["DATA"]);
    pair.deliver(pair.agent);
    expect(pair.agent.session.deadlineMs).toBe(pair.nowMs + limits.ackDelayMs);
    pair.nowMs += limits.ackDelayMs;
    expect(pair.poll(pair.agent)?.records).toEqual([{ record: "ACK", count: told + 1 }]);
    expect(pair.agent.talks.get(2)?.heard).toEqual([["data", 100]]);
  });

  test("says nothing on the next link when both know all, and is at rest", () => {
    const pair = new Pair();
    const [talk] = opened(pair, pair.relay);
    talk.writeReset("cancelled");
    pair.settle();
    pair.resume();
    expect(pair.ends.map((end) => [pollAll(pair, end).length, end.session.resting])).toEqual([
      [0, true],
      [0, true],
    ]);
  });

  test("is ended by what ends it: its streams are reset, all is freed, and a resume changes nothing", () => {
    const pair = new Pair();
    const [sent] = opened(pair, pair.relay);
    const unsent = pair.relay.open(10);
    pair.cut();
    pair.relay.session.lost("link-lost");
    expect([sent.heardReset, unsent?.heardReset]).toEqual(["link-lost", "unprocessed"]);
    expect(pair.relay.memory.reservedBytes).toBe(0);
    pair.relay.session.resume({ peerReceived: 0, told: 0, tripMs: 0 }, 1);
    expect(pair.relay.session.poll(1)).toBeUndefined();
    expect(pair.relay.session.deadlineMs).toBeUndefined();
  });

  test("suffers more resets than may wait for a link", () => {
    const streams = limits.maxPendingResets + 10;
    const pair = new Pair({ streams, capBytes: 2 ** 31 });
    const talks = Array.from({ length: streams }, () => pair.relay.open(0));
    pair.settle();
    pair.cut();
    for (const talk of talks) talk?.writeReset("cancelled");
    expect(pair.relay.over).toBeUndefined();
    pair.resume();
    pair.settle();
    expect(pair.ends.map((end) => [end.over, end.session.openStreams])).toEqual([
      [undefined, 0],
      [undefined, 0],
    ]);
  });
});

describe("on a new link", () => {
  test("messages are sent again in order, without the control records that they had, before any new one", () => {
    const pair = new Pair();
    const [talk, ear] = opened(pair, pair.relay);
    ear.write(10);
    pair.poll(pair.agent);
    pair.deliver(pair.relay);
    talk.write(40_000);
    const lost = pollAll(pair, pair.relay);
    expect(kindsOf(lost[0])).toEqual(["ACK", "DATA"]);
    expect(lost.length).toBeGreaterThan(2);
    pair.resume();
    talk.write(7);
    const again = pollAll(pair, pair.relay);
    expect(again.slice(0, lost.length).map(({ records }) => records)).toEqual(
      lost.map(({ records }) => records.filter(({ record }) => record === "DATA")),
    );
    expect(again.slice(lost.length).map(({ records }) => records)).toEqual([
      [{ record: "DATA", stream: 2, bytes: expect.any(String) }],
    ]);
    while (pair.deliver(pair.agent));
    expect(ear.read).toBe(40_007);
  });

  test("nothing is left out that the relay has begun to count, though the agent has it", () => {
    const pair = new Pair();
    const [talk, ear] = opened(pair, pair.relay);
    const told = pair.agent.oracle.received;
    talk.write(60_000);
    const lost = pollAll(pair, pair.relay);
    while (pair.deliver(pair.agent));
    pair.resume({ told });
    // Something for an ACK to ride on.
    ear.write(5);
    pollAll(pair, pair.agent);
    while (pair.deliver(pair.relay));
    talk.write(50);
    expect(pollAll(pair, pair.relay).filter(({ counted }) => counted).length).toBe(lost.length + 1);
    pair.settle();
    expect([ear.heard, talk.heard]).toEqual([[["data", 60_050]], [["data", 5]]]);
    expect(pair.agent.oracle.received).toBe(told + lost.length + 1);
  });

  test("an ACK of what was not handed to it yet is an error", () => {
    const pair = new Pair();
    const [talk] = opened(pair, pair.relay);
    talk.write(60_000);
    const lost = pollAll(pair, pair.relay).length;
    pair.resume();
    const { session } = pair.relay;
    const { acknowledgedCount } = session.ledger;
    pair.poll(pair.relay);
    const ack = (count: number) =>
      session.handleMessage(encodeMessage([{ record: "ACK", count }]), pair.nowMs);
    ack(acknowledgedCount + 1);
    expect([session.over, session.ledger.acknowledgedCount]).toEqual([false, acknowledgedCount + 1]);
    ack(acknowledgedCount + lost);
    expect(pair.relay.over).toBe("protocol-error");
  });

  test("a HELLO that an ACK has overtaken does not bring back what was acknowledged", () => {
    const pair = new Pair();
    const [talk, ear] = opened(pair, pair.relay);
    const told = pair.agent.oracle.received;
    talk.write(100);
    pair.settle();
    talk.write(50);
    pollAll(pair, pair.relay);
    expect(pair.relay.oracle.ackedByPeer).toBeGreaterThan(told);
    pair.resume({ told });
    expect(pollAll(pair, pair.relay).map(kindsOf)).toEqual([["DATA"]]);
    pair.settle();
    expect(ear.heard).toEqual([["data", 150]]);
  });

  test("replay does not wait for room in the budget, and new frames do", () => {
    const pair = new Pair({ agentWindow: limits.maxWindowBytes, capBytes: 2 ** 31, slow: () => true });
    const [talk] = opened(pair, pair.relay);
    talk.onWritable = () => {
      while (!talk.full) talk.write(30_000);
    };
    talk.onWritable();
    const lost = pollAll(pair, pair.relay);
    const { unacknowledgedBytes } = pair.relay.session;
    expect(unacknowledgedBytes).toBeGreaterThanOrEqual(limits.minFlightBytes);
    pair.resume();
    expect(pollAll(pair, pair.relay).length).toBe(lost.length);
    expect(pair.relay.session.unacknowledgedBytes).toBe(unacknowledgedBytes);
  });

  test("an ACK does not wait for the end of the replay", () => {
    const pair = new Pair();
    const [talk, ear] = opened(pair, pair.relay);
    talk.write(50_000);
    const lost = pollAll(pair, pair.relay);
    pair.resume();
    expect(kindsOf(pair.poll(pair.relay))).toEqual(["DATA"]);
    ear.write(100);
    pair.poll(pair.agent);
    pair.deliver(pair.relay);
    pair.nowMs += limits.ackDelayMs;
    expect(kindsOf(pair.poll(pair.relay))).toEqual(["ACK"]);
    expect(pollAll(pair, pair.relay).length).toBe(lost.length - 1);
  });

  test("the handshake's round trip is the new link's, and what is sent again measures it", () => {
    const pair = new Pair({ tripMs: 40 });
    const [talk] = opened(pair, pair.relay);
    talk.write(1_000);
    pair.settle();
    talk.write(1_000);
    pollAll(pair, pair.relay);
    pair.nowMs += 5_000;
    pair.resume({ tripMs: 70 });
    const { session } = pair.relay;
    const { flight } = session.ledger;
    const earlier = flight.rate;
    expect([session.tripMs, flight.messageBytes]).toEqual([70, limits.firstMessageBytes]);
    pollAll(pair, pair.relay);
    pair.nowMs += 30;
    while (pair.deliver(pair.agent));
    pair.nowMs += 30;
    pollAll(pair, pair.agent);
    while (pair.deliver(pair.relay));
    expect(session.unacknowledgedBytes).toBe(0);
    // Counted from when it left on this link.
    expect(session.tripMs).toBeCloseTo(70 * 0.875 + 60 * 0.125);
    expect(flight.rate).toBeGreaterThan(0);
    expect(flight.rate).toBeLessThan(earlier);
  });

  test("the buffer of a message that may have to be sent again is not used for another", () => {
    const memory = new Memory(2 ** 31);
    const window = limits.maxWindowBytes;
    const session = new Session(
      { side: "relay", window, peerWindow: window, streams: 9, peerStreams: 9, memory, tripMs: 5 },
      0,
    );
    let nowMs = 0;
    let sent: Buffer[] = [];
    const pollAll = () => {
      for (let bytes = session.poll(nowMs); bytes !== undefined; bytes = session.poll(nowMs))
        sent.push(Buffer.from(bytes));
    };
    const tell = (record: OracleRecord) => session.handleMessage(encodeMessage([record]), nowMs);
    const acknowledge = (count: number) => tell({ record: "ACK", count });
    const talk = new Talk("relay", false);
    const stream = session.open(1, new Uint8Array(10), talk);
    if (stream === undefined) throw new Error("the stream is refused");
    talk.bind(stream);
    talk.onWritable = () => {
      while (!talk.full) talk.write(90_000);
    };
    talk.onWritable();
    pollAll();
    tell({ record: "CREDIT", limits: [{ stream: 2, limit: 2 ** 40 }] });
    // Quick ACKs, so that messages become as large as their buffers.
    for (let round = 0; round < 6; round++) {
      sent = [];
      pollAll();
      nowMs += 5;
      if (round < 5) acknowledge(session.ledger.sent);
    }
    const first = sent;
    expect(first.filter(({ length }) => length === limits.maxMessageBytes).length).toBeGreaterThan(10);
    const half = Math.floor(first.length / 2);
    const resume = () => {
      const peerReceived = session.ledger.acknowledgedCount;
      session.suspend();
      session.resume({ peerReceived, told: 0, tripMs: 0 }, nowMs);
      sent = [];
    };
    resume();
    for (let one = 0; one < half; one++) sent.push(Buffer.from(session.poll(nowMs) ?? []));
    acknowledge(session.ledger.acknowledgedCount + half);
    sent = [];
    pollAll();
    const second = sent;
    // New ones took the place of what was acknowledged.
    expect(second.length).toBeGreaterThan(first.length - half);
    expect(second.slice(0, first.length - half)).toEqual(first.slice(half));
    resume();
    pollAll();
    expect(sent).toEqual(second);
  });
});
