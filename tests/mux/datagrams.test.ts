import { describe, expect, test } from "bun:test";
import { streamKinds } from "../../shared/kind.ts";
import { DatagramQueue } from "../../shared/mux/datagram-queue.ts";
import { MessageWriter } from "../../shared/mux/frame.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import type { Stream } from "../../shared/mux/stream.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";
import { numberedDatagram as datagram } from "./numbered-datagram.ts";
import { type End, Pair, type Sent } from "./pair.ts";
import type { Talk } from "./talk.ts";

/** What came to `end`, each datagram as stream id, number and length. */
function hear(end: End): { id: number; number: number; length: number }[] {
  const heard: { id: number; number: number; length: number }[] = [];
  const { handler } = end.session;
  if (handler === undefined) throw new Error("no handler");
  handler.datagram = ({ id }, payload) => {
    const number = payload.length < 4 ? -1 : new DataView(payload.slice().buffer).getUint32(0);
    const rest = payload.subarray(4);
    if (rest.some((byte) => byte !== (number & 0xff))) throw new Error(`datagram ${number} is not whole`);
    heard.push({ id, number, length: payload.length });
  };
  return heard;
}

function flow(end: End): Talk {
  const talk = end.open(10);
  if (talk === undefined) throw new Error("refused");
  return talk;
}

const numbers = (heard: readonly { number: number }[]) => heard.map(({ number }) => number);
const bytesOf = (sent: Sent | undefined, kind: string) =>
  sent?.records.reduce(
    (sum, record) => sum + (record.record === kind && "bytes" in record ? record.bytes.length / 2 + 8 : 0),
    0,
  ) ?? 0;

describe("the first datagrams of a flow", () => {
  test("arrive, however soon they follow its opening", () => {
    const pair = new Pair();
    const heard = hear(pair.agent);
    const { stream } = flow(pair.relay);
    for (let number = 0; number < 5; number++) stream.datagram(datagram(number, 4));
    pair.settle();
    expect(numbers(heard)).toEqual([0, 1, 2, 3, 4]);
  });

  test("wait for an OPEN that waits for acknowledgements, and hold up those of other flows no longer", () => {
    const pair = new Pair({ agentWindow: 4_194_304 });
    const heard = hear(pair.agent);
    const first = flow(pair.relay);
    const bulk = flow(pair.relay);
    pair.settle();
    bulk.write(4_000_000);
    while (pair.poll(pair.relay) !== undefined);
    const late = flow(pair.relay);
    late.stream.datagram(datagram(1, 100));
    first.stream.datagram(datagram(2, 100));
    while (pair.poll(pair.relay) !== undefined);
    expect(late.stream.announced).toBe(false);
    while (pair.deliver(pair.agent) !== undefined);
    expect(numbers(heard)).toEqual([2]);
    pair.settle();
    expect(numbers(heard)).toEqual([2, 1]);
  });

  test("do not overtake an OPEN that is sent again on a new link", () => {
    const pair = new Pair();
    const heard = hear(pair.agent);
    const { stream } = flow(pair.relay);
    pair.poll(pair.relay);
    expect(stream.announced).toBe(true);
    pair.cut();
    pair.resume();
    stream.datagram(datagram(7, 4));
    pair.settle();
    expect(numbers(heard)).toEqual([7]);
  });

  test("are forgotten with a stream that is closed before its OPEN left", () => {
    const pair = new Pair();
    const heard = hear(pair.agent);
    const { stream } = flow(pair.relay);
    stream.datagram(datagram(1, 4));
    stream.reset("cancelled");
    pair.settle();
    expect(heard).toEqual([]);
    expect(pair.agent.talks.size).toBe(0);
  });
});

test("what waits weighs nothing any more when it has left, was dropped or is of a stream that is closed", () => {
  const pair = new Pair();
  const { stream } = flow(pair.relay);
  const queue = new DatagramQueue(new Memory(0));
  const weights: number[] = [];
  const weigh = () => weights.push(queue.heldBytes);
  queue.add(stream, datagram(1, 100));
  weigh();
  queue.forget(stream);
  weigh();
  queue.add(stream, datagram(2, 100));
  pair.settle();
  queue.announced(stream);
  queue.add(stream, datagram(3, 36));
  weigh();
  queue.tick(10);
  queue.write(new MessageWriter(150), 110, 10);
  weigh();
  queue.hasReady(10 + limits.maxDatagramAgeMs);
  weigh();
  queue.hasReady(11 + limits.maxDatagramAgeMs);
  weigh();
  expect(weights).toEqual([164, 0, 264, 100, 100, 0]);
});

describe("datagrams that wait", () => {
  test("are dropped when they are older than 1 s, the younger ones go", () => {
    const pair = new Pair();
    const heard = hear(pair.agent);
    const { stream } = flow(pair.relay);
    pair.settle();
    // The link takes nothing: its driver tells the time instead.
    stream.datagram(datagram(1, 4));
    pair.relay.session.tick(pair.nowMs);
    pair.nowMs += 1;
    stream.datagram(datagram(2, 4));
    pair.relay.session.tick(pair.nowMs);
    pair.nowMs += limits.maxDatagramAgeMs;
    pair.settle();
    expect(numbers(heard)).toEqual([2]);
  });

  test("are not old because nothing went on before", () => {
    const pair = new Pair();
    const heard = hear(pair.agent);
    const { stream } = flow(pair.relay);
    pair.settle();
    pair.nowMs += 60_000;
    stream.datagram(datagram(1, 4));
    pair.settle();
    expect(numbers(heard)).toEqual([1]);
  });

  test("cost memory beside their bytes: of empty ones only so many wait", () => {
    const pair = new Pair();
    const heard = hear(pair.agent);
    const { stream } = flow(pair.relay);
    const early = flow(pair.relay);
    for (let number = 0; number < 20_000; number++) stream.datagram(new Uint8Array(0));
    for (let number = 0; number < 20_000; number++) early.stream.datagram(new Uint8Array(0));
    pair.settle();
    expect(heard.length).toBe(limits.maxPendingDatagramBytes / limits.frameCost);
    expect(heard.every(({ id }) => id === early.stream.id)).toBe(true);
  });

  test("do not keep what was read with them", () => {
    const pair = new Pair();
    const { stream } = flow(pair.relay);
    pair.settle();
    const large = Buffer.alloc(65_536);
    stream.datagram(large.subarray(0, 10));
    large.fill(1);
    const sent = pair.poll(pair.relay);
    expect(sent?.records).toEqual([{ record: "DATAGRAM", stream: stream.id, bytes: "00".repeat(10) }]);
  });

  test("wake the session again and again while the link takes nothing, so that each gets its time", () => {
    const pair = new Pair();
    const { stream } = flow(pair.relay);
    pair.settle();
    for (let round = 0; round < 3; round++) {
      pair.relay.awake = false;
      stream.datagram(datagram(round, 4));
      expect(pair.relay.awake).toBe(true);
      pair.relay.session.tick(pair.nowMs);
    }
  });

  test("are not sent behind their stream's END, nor taken after it", () => {
    const pair = new Pair();
    const heard = hear(pair.agent);
    const talk = flow(pair.relay);
    pair.settle();
    talk.writeEnd();
    talk.stream.datagram(datagram(1, 4));
    pair.settle();
    expect(heard).toEqual([]);
  });
});

test("streams of datagrams reserve little memory, and give it back: who forges senders does not use up the relay", () => {
  const pair = new Pair({ streams: 4_096, capBytes: 4 * 65_536 });
  const open = () => pair.relay.session.open(streamKinds.udp, new Uint8Array(10), silentHandler);
  const flows: (Stream | undefined)[] = [];
  for (let at = 0; at < 16; at++) flows.push(open());
  pair.settle();
  expect(pair.ends.map((end) => end.memory.reservedBytes)).toEqual([65_536, 65_536]);
  expect(flow(pair.relay).stream.kind).toBe(1);
  expect(open()).toBeUndefined();
  for (const one of flows) one?.reset("cancelled");
  pair.settle();
  expect(pair.ends.map((end) => end.memory.reservedBytes)).toEqual([65_536, 65_536]);
});

describe("a flood of datagrams", () => {
  test.each([0, 100, 1_200, 17_000, 30_000, limits.maxDatagramBytes])(
    "of %d bytes leaves half to frames",
    (length) => {
      const pair = new Pair({ agentWindow: 16_777_216, capBytes: 2 ** 27 });
      hear(pair.agent);
      const { stream } = flow(pair.relay);
      const bulk = flow(pair.relay);
      pair.settle();
      let frames = 0;
      let datagrams = 0;
      // Each message is read and acknowledged before the next: the flight is never full.
      for (let round = 0; round < 60; round++) {
        if (!bulk.full) bulk.write(100_000);
        for (let i = 0; i * (length + 8) < 70_000; i++) stream.datagram(datagram(i, length));
        const sent = pair.poll(pair.relay);
        frames += bytesOf(sent, "DATA");
        datagrams += bytesOf(sent, "DATAGRAM");
        while (pair.deliver(pair.agent) !== undefined);
        pair.nowMs += 30;
        while (pair.poll(pair.agent) !== undefined);
        while (pair.deliver(pair.relay) !== undefined);
      }
      expect(frames).toBeGreaterThan(500_000);
      expect(frames).toBeGreaterThan(datagrams - limits.maxMessageBytes);
      expect(datagrams).toBeGreaterThan(frames * 0.9 - limits.maxMessageBytes);
    },
  );

  test("does not take the link while frames wait for acknowledgement", () => {
    const pair = new Pair({ agentWindow: 4_194_304 });
    hear(pair.agent);
    const { stream } = flow(pair.relay);
    const bulk = flow(pair.relay);
    pair.settle();
    bulk.write(4_000_000);
    let [frames, datagrams] = [0, 0];
    for (let round = 0; round < 500; round++) {
      stream.datagram(datagram(round, 10_000));
      const sent = pair.poll(pair.relay);
      frames += bytesOf(sent, "DATA");
      datagrams += bytesOf(sent, "DATAGRAM");
    }
    expect(frames).toBeGreaterThan(limits.minFlightBytes / 2);
    expect(datagrams).toBeLessThan(frames + limits.maxMessageBytes);
    // What was held back goes on with the acknowledgements.
    pair.settle();
    expect(bulk.stream.queued).toBe(0);
  });

  test("shares messages with frames", () => {
    const pair = new Pair();
    hear(pair.agent);
    const { stream } = flow(pair.relay);
    const bulk = flow(pair.relay);
    pair.settle();
    bulk.write(60_000);
    for (let number = 0; number < 100; number++) stream.datagram(datagram(number, 100));
    const sent = pair.poll(pair.relay);
    expect(bytesOf(sent, "DATA")).toBeGreaterThan(1_000);
    expect(bytesOf(sent, "DATAGRAM")).toBeGreaterThan(1_000);
    // Half, and what frames had before them: OPEN.
    const half = pair.relay.session.ledger.flight.messageBytes / 2;
    expect(bytesOf(sent, "DATAGRAM")).toBeLessThanOrEqual(half + 64);
  });

  test("goes on when the stream that it had to let go first is over without a word of ours", () => {
    const pair = new Pair({ agentWindow: 4_194_304 });
    const heard = hear(pair.agent);
    const { stream } = flow(pair.relay);
    pair.settle();
    const bulk = flow(pair.relay);
    bulk.write(4_000_000);
    for (let number = 0; number < 20; number++) stream.datagram(datagram(number, 60_000));
    while (pair.poll(pair.relay) !== undefined);
    // The agent has not seen the OPEN, and takes no new streams.
    pair.agent.session.goaway("drain", "going-away", 1_000, "");
    pair.poll(pair.agent);
    pair.deliver(pair.relay);
    expect(bulk.heardReset).toBe("unprocessed");
    expect(pair.relay.awake).toBe(false);
    pair.settle();
    expect(heard.at(-1)?.number).toBe(19);
  });

  test("alone fills messages", () => {
    const pair = new Pair();
    const heard = hear(pair.agent);
    const { stream } = flow(pair.relay);
    pair.settle();
    for (let number = 0; number < 100; number++) stream.datagram(datagram(number, 100));
    pair.poll(pair.relay);
    while (pair.deliver(pair.agent) !== undefined);
    expect(heard.length).toBeGreaterThan(30);
  });
});
