import { describe, expect, test } from "bun:test";
import { pingText, pongText } from "../../shared/liveness.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { ack, Bench, kinds, say, turn } from "./driver-bench.ts";

/** A clock that can go on while no timer runs, as that of a process that was stopped. */
class StoppedClock extends VirtualClock {
  private aheadMs = 0;
  private readonly pending = new Set<{
    readonly atMs: number;
    readonly run: () => void;
    cancel: () => void;
  }>();
  override now(): number {
    return super.now() + this.aheadMs;
  }
  override at(atMs: number, run: () => void): () => void {
    const timer = { atMs, run, cancel: () => {} };
    this.pending.add(timer);
    this.arrange(timer);
    return () => {
      timer.cancel();
      this.pending.delete(timer);
    };
  }
  /** Time goes on; what has fallen due runs with the next `advance`. */
  stop(ms: number): void {
    this.aheadMs += ms;
    for (const timer of this.pending) {
      timer.cancel();
      this.arrange(timer);
    }
  }
  private arrange(timer: { readonly atMs: number; readonly run: () => void; cancel: () => void }): void {
    timer.cancel = super.at(timer.atMs - this.aheadMs, () => {
      this.pending.delete(timer);
      timer.run();
    });
  }
}

describe("a silent link", () => {
  test("is suspect, up again with the first byte, be it part of a message, and lost when it is dead", async () => {
    const bench = new Bench();
    const link = bench.link();
    await bench.open();
    bench.clock.advance(200);
    expect(bench.told()).toEqual([]);
    bench.clock.advance(2_300);
    expect([bench.told(), bench.driver.isUp, bench.driver.hasLink]).toEqual([["suspect"], false, true]);
    link.handler.heard();
    link.handler.heard();
    expect([bench.told(), bench.driver.isUp]).toEqual([["up"], true]);
    bench.clock.advance(40_000);
    expect(bench.told().at(-1)).toBe("lost");
    expect([link.ended, bench.driver.hasLink, bench.session.over]).toEqual(["destroy", false, false]);
  });

  test("that has shown life once is suspect again in time, though nothing is sent", async () => {
    const bench = new Bench();
    const link = bench.link();
    const stream = await bench.open();
    // At 8,192 bytes a second that takes longer than suspicion waits.
    stream.write(new Uint8Array(90_000));
    await turn();
    bench.clock.advance(2_500);
    link.handler.heard();
    expect(bench.told()).toEqual(["suspect", "up"]);
    // Twice 250 ms and what the oldest message takes, at most 2 s.
    bench.clock.advance(4_501);
    expect(bench.told()).toEqual(["suspect"]);
  });

  test("is pinged after 15 s, and by a relay given up after 45 s", () => {
    const agent = new Bench();
    const link = agent.link();
    agent.clock.advance(14_999);
    expect(link.texts).toEqual([]);
    agent.clock.advance(1);
    expect(link.texts).toEqual([pingText]);
    link.says(pongText);
    agent.clock.advance(14_999);
    expect([link.texts.length, agent.told()]).toEqual([1, ["progress"]]);
    agent.clock.advance(1);
    expect(link.texts.length).toBe(2);
    const relay = new Bench(new VirtualClock(), "relay");
    const silent = relay.link();
    relay.clock.advance(44_999);
    expect([relay.told(), silent.texts]).toEqual([[], []]);
    relay.clock.advance(1);
    expect([relay.told(), silent.ended]).toEqual([["lost"], "destroy"]);
  });

  test("is pinged after 2 s by either side while streams are open", async () => {
    for (const side of ["agent", "relay"] as const) {
      const bench = new Bench(new VirtualClock(), side);
      const link = bench.link();
      await bench.open();
      link.comes(say(ack(1)));
      await turn();
      bench.clock.advance(1_999);
      expect(link.texts).toEqual([]);
      bench.clock.advance(1);
      expect([side, link.texts]).toEqual([side, [pingText]]);
    }
  });

  test("on which bytes come is never suspect, however long a message takes", async () => {
    const bench = new Bench();
    const link = bench.link();
    await bench.open();
    for (let ms = 0; ms < 120_000; ms += 200) {
      link.handler.heard();
      bench.clock.advance(200);
    }
    expect(bench.told()).toEqual([]);
  });

  test("is not up because its buffer drains: that says nothing of the other side", async () => {
    const bench = new Bench();
    const link = bench.link();
    await bench.open();
    bench.clock.advance(2_500);
    link.handler.drained();
    expect(bench.told()).toEqual(["suspect"]);
  });

  test("that was replaced while it was suspect leaves nothing of it to the new one", async () => {
    const bench = new Bench();
    bench.link();
    await bench.open();
    bench.clock.advance(2_500);
    const second = bench.link(true);
    expect([bench.told(), bench.driver.isUp]).toEqual([["suspect"], true]);
    await turn();
    expect(kinds(second)).toEqual([["OPEN"]]);
    second.comes(say(ack(1)));
    expect(bench.told()).toEqual(["progress"]);
  });
});

describe("time that this side did not run", () => {
  test("is no silence of the other: it is asked first", async () => {
    const clock = new StoppedClock();
    const bench = new Bench(clock, "relay");
    const link = bench.link();
    const stream = await bench.open();
    link.comes(say(ack(1)));
    stream.write(new Uint8Array(10));
    await turn();
    link.comes(say(ack(2)));
    bench.told();
    clock.stop(50_000);
    clock.advance(0);
    expect([bench.told(), link.texts]).toEqual([[], [pingText]]);
    link.says(pongText);
    expect([bench.told(), bench.driver.isUp]).toEqual([[], true]);
  });

  test("does not kill a link with something unanswered, whose answer waits to be read", async () => {
    const clock = new StoppedClock();
    const bench = new Bench(clock);
    const link = bench.link();
    await bench.open();
    clock.stop(50_000);
    clock.advance(100);
    expect([bench.told(), bench.driver.hasLink]).toEqual([[], true]);
    link.comes(say(ack(1)));
    expect([bench.told(), bench.driver.isUp]).toEqual([["progress"], true]);
  });

  test("of less than a second is none where an answer waits to be read: timers may run first", async () => {
    const clock = new StoppedClock();
    const bench = new Bench(clock);
    const link = bench.link();
    await bench.open();
    clock.stop(600);
    clock.at(clock.now(), () => link.comes(say(ack(1))));
    clock.advance(0);
    expect([bench.told(), bench.driver.isUp]).toEqual([["progress"], true]);
  });

  test("of less than a second lets a link be suspect on which nothing came meanwhile, once and in time", async () => {
    const clock = new StoppedClock();
    const bench = new Bench(clock);
    const link = bench.link();
    await bench.open();
    clock.stop(600);
    clock.advance(0);
    expect([bench.told(), bench.driver.isUp]).toEqual([["suspect"], false]);
    link.comes(say(ack(1)));
    clock.advance(1_000);
    expect([bench.told(), bench.driver.isUp]).toEqual([["up", "progress"], true]);
  });

  test("asleep makes the link suspect at once, with a ping, until it shows life", () => {
    const bench = new Bench();
    const link = bench.link();
    bench.driver.slept();
    bench.driver.slept();
    expect([bench.told(), link.texts.length > 0]).toEqual([["suspect"], true]);
    link.says(pongText);
    expect(bench.told()).toEqual(["up", "progress"]);
    bench.driver.unlink();
    bench.driver.slept();
    expect(bench.told()).toEqual([]);
  });
});

describe("a doubt of the peer's", () => {
  test("does not put off suspicion where something is unanswered anyway", async () => {
    const bench = new Bench();
    bench.link();
    await bench.open();
    bench.clock.advance(200);
    bench.driver.doubt();
    bench.clock.advance(60);
    expect(bench.told()).toEqual(["suspect"]);
  });

  test("is told, and on a link where nothing is unanswered asked about, once", async () => {
    const bench = new Bench();
    const link = bench.link();
    link.comes(say({ record: "DOUBT", slot: 3 }));
    expect(bench.told()).toEqual(["progress", "doubted 3"]);
    bench.driver.doubt();
    bench.driver.doubt();
    expect(link.texts).toEqual([pingText]);
    bench.clock.advance(250);
    expect(bench.told()).toEqual(["suspect"]);
    link.says(pongText);
    await bench.open();
    bench.driver.doubt();
    expect(link.texts).toEqual([pingText]);
  });

  test.each([0, 1])(
    "said again and again does not put off suspicion or death, with %d unanswered",
    async (streams) => {
      const bench = new Bench();
      bench.link();
      if (streams > 0) await bench.open();
      for (let ms = 0; ms < 4_000; ms += 50) {
        bench.driver.doubt();
        bench.clock.advance(50);
      }
      expect(bench.told()).toEqual(["suspect", "lost"]);
    },
  );
});
