import { describe, expect, test } from "bun:test";
import { memoryLinks } from "../../shared/links/memory.ts";
import { pingText, pongText } from "../../shared/liveness.ts";
import { limits } from "../../shared/mux/limits.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { decodeMessage } from "../oracle/codec.ts";
import { ack, Bench, ear, kinds, open, say, turn } from "./driver-bench.ts";

describe("a driver without a link", () => {
  test("sends nothing, is not up, and sends what waited once there is one", async () => {
    const bench = new Bench();
    await bench.open();
    expect([bench.driver.hasLink, bench.driver.isUp]).toEqual([false, false]);
    const link = bench.link();
    expect([bench.driver.hasLink, bench.driver.isUp]).toEqual([true, true]);
    await turn();
    expect(kinds(link)).toEqual([["OPEN"]]);
  });
});

describe("a link that is lost", () => {
  test("is told once, and the session waits: streams stay open, and the next link brings what the old one lost", async () => {
    const bench = new Bench();
    const first = bench.link();
    const heard: string[] = [];
    const stream = await bench.open(heard);
    first.breaks();
    expect(bench.told()).toEqual(["closed", "lost"]);
    expect([bench.driver.hasLink, bench.driver.isUp, stream.closed]).toEqual([false, false, false]);
    stream.write(new Uint8Array(10));
    await turn();
    expect(bench.session.poll(bench.clock.now())).toBeUndefined();
    const second = bench.link(true);
    await turn();
    expect(kinds(second)).toEqual([["OPEN"], ["DATA"]]);
    expect([bench.told(), heard, first.messages.length]).toEqual([[], [], 1]);
  });

  test("by `unlink` or for another is not told but for its `closed`, and nothing of it is read any more", async () => {
    const bench = new Bench();
    const links = [bench.link()];
    await bench.open();
    links.push(bench.link(true));
    bench.driver.unlink();
    bench.driver.unlink();
    expect(links.map(({ ended }) => ended)).toEqual(["destroy", "destroy"]);
    expect(bench.told()).toEqual([]);
    for (const link of links) {
      link.comes(say(ack(1), open));
      link.says("nonsense");
      link.breaks();
    }
    await turn();
    expect([bench.told(), bench.opened.length, bench.session.over]).toEqual([["closed", "closed"], 0, false]);
  });

  test("ends the session when its window has passed since the last byte, and not before", async () => {
    const bench = new Bench();
    const link = bench.link();
    const heard: string[] = [];
    await bench.open(heard);
    bench.clock.advance(100);
    link.comes(say(ack(1)));
    bench.clock.advance(1_900);
    link.breaks();
    bench.clock.advance(60_000 - 1_900 - 1);
    expect([bench.session.over, heard]).toEqual([false, []]);
    bench.clock.advance(1);
    expect(heard).toEqual(["reset link-lost"]);
    expect(bench.told()).toEqual(["progress", "closed", "lost", "over link-lost"]);
    expect([bench.memory.reservedBytes, bench.clock.timers]).toEqual([0, 0]);
  });

  test("does not end a session that has another by then, and the window begins anew", async () => {
    const bench = new Bench();
    bench.link().breaks();
    bench.clock.advance(59_000);
    const link = bench.link(true);
    bench.clock.advance(2_000);
    expect(bench.session.over).toBe(false);
    link.breaks();
    bench.clock.advance(57_999);
    expect(bench.session.over).toBe(false);
    bench.clock.advance(1);
    expect(bench.session.over).toBe(true);
  });

  test("ends the session at once where there is no window", () => {
    const bench = new Bench(new VirtualClock(), "agent", { resumeWindowMs: 0 });
    bench.link().breaks();
    bench.clock.advance(0);
    expect(bench.told()).toEqual(["closed", "lost", "over link-lost"]);
  });
});

describe("the end of a session", () => {
  test("says why on its link, closes it with the code for it, and is told once", async () => {
    const bench = new Bench();
    const link = bench.link();
    await bench.open();
    bench.session.goaway("error", "internal-error", 0, "");
    expect(kinds(link)).toEqual([["OPEN"], ["GOAWAY"]]);
    expect(link.ended).toBe("close 1011 internal-error");
    expect(bench.clock.timers).toBe(0);
    link.breaks();
    expect(bench.told()).toEqual(["over internal-error", "closed"]);
  });

  test("by `close` says bye", () => {
    const bench = new Bench();
    const link = bench.link();
    bench.driver.close("goodbye");
    expect(link.messages.map((bytes) => decodeMessage(bytes).records)).toEqual([
      [expect.objectContaining({ record: "GOAWAY", kind: "bye", code: "goodbye" })],
    ]);
    expect(bench.told()).toEqual(["over goodbye"]);
  });

  test("drops a link that comes too late, whose owner is told when it is gone", () => {
    const bench = new Bench();
    bench.session.lost("link-lost");
    const link = bench.link();
    expect(link.ended).toBe("destroy");
    link.breaks();
    expect(bench.told()).toEqual(["over link-lost", "closed"]);
    expect(bench.driver.hasLink).toBe(false);
  });
});

describe("texts", () => {
  test("a ping is answered, a pong is not, and anything else ends the session", () => {
    const bench = new Bench();
    const link = bench.link();
    link.says(pingText);
    link.says(pingText);
    link.says(pongText);
    expect(link.texts).toEqual([pongText, pongText]);
    link.says("hello");
    expect(bench.told()).toEqual(["progress", "over protocol-error"]);
    expect(kinds(link)).toEqual([["GOAWAY"]]);
  });

  test("pings of a peer that does not read are not answered without end", () => {
    const bench = new Bench();
    const link = bench.link();
    link.queued = 1_048_577;
    link.says(pingText);
    expect([link.texts, bench.session.over]).toEqual([[], true]);
  });
});

describe("messages", () => {
  test("progress is told once a link, with the first message or text", () => {
    const bench = new Bench();
    for (let turns = 0; turns < 2; turns++) {
      const link = bench.link(turns > 0);
      link.handler.heard();
      expect(bench.told()).toEqual([]);
      link.comes(say(ack(0)));
      link.says(pongText);
      expect(bench.told()).toEqual(["progress"]);
    }
  });

  test("wait while the link holds much, and go on when it has drained", async () => {
    const bench = new Bench();
    const link = bench.link();
    link.queued = 262_144;
    await bench.open();
    expect(link.messages).toEqual([]);
    link.queued = 0;
    link.handler.drained();
    await turn();
    expect(kinds(link)).toEqual([["OPEN"]]);
  });

  test("an ACK leaves within its time by itself", async () => {
    const bench = new Bench();
    const link = bench.link();
    link.comes(say(open));
    await turn();
    expect(link.messages).toEqual([]);
    bench.clock.advance(limits.ackDelayMs);
    expect(kinds(link)).toEqual([["ACK"]]);
  });
});

test("two drivers carry a conversation over links that break in the middle, whoever notices first", async () => {
  const clock = new VirtualClock();
  const [agent, relay] = [new Bench(clock, "agent"), new Bench(clock, "relay")];
  const got: number[] = [];
  const heard: string[] = [];
  const stream = relay.session.open(1, new Uint8Array(5), ear(heard));
  const connect = (resumed: boolean): (() => void) => {
    const [near, far] = memoryLinks(clock);
    const { received, acknowledgedCount } = relay.session.ledger;
    const told = agent.session.ledger.received;
    const first = Math.max(told, acknowledgedCount);
    relay.driver.unlink();
    relay.driver.link(
      far,
      () => {},
      resumed ? { peerReceived: first, told: received, tripMs: 0 } : undefined,
    );
    agent.driver.link(
      near,
      () => {},
      resumed ? { peerReceived: received, told: first, tripMs: 0 } : undefined,
    );
    return () => near.destroy();
  };
  let cut = connect(false);
  await turn();
  const [answer] = agent.opened;
  if (answer === undefined || stream === undefined) throw new Error("no stream");
  answer.handler = { ...ear(), data: (bytes) => void got.push(...bytes) };
  for (let round = 0; round < 20; round++) {
    stream.write(Uint8Array.of(2 * round));
    if (round % 3 === 0) await turn(1 + (round % 5));
    cut();
    stream.write(Uint8Array.of(2 * round + 1));
    if (round % 2 === 0) await turn(2);
    cut = connect(true);
    await turn(1 + (round % 4));
  }
  answer.write(new Uint8Array(7));
  answer.end();
  stream.end();
  for (let round = 0; round < 20; round++) {
    clock.advance(limits.ackDelayMs);
    await turn();
  }
  expect(got).toEqual(Array.from({ length: 40 }, (_, at) => at));
  expect(heard).toEqual(["data 7", "end"]);
  expect([agent, relay].map(({ session }) => session.resting)).toEqual([true, true]);
});
