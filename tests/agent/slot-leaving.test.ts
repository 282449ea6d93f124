import { describe, expect, test } from "bun:test";
import { UnderpassError } from "../../shared/errors.ts";
import { turn } from "../shared/driver-bench.ts";
import { SlotBench } from "./slot-bench.ts";

describe("a relay that drains", () => {
  test("gets a fresh dial, and the old session goes on beside the new one until the relay says bye", async () => {
    const bench = new SlotBench();
    const old = await bench.begin(1);
    old.goaway("drain", "going-away");
    expect([bench.told(), bench.waits, bench.slot.isUp]).toEqual([
      ["down going-away 1 100"],
      ["reset", 0],
      false,
    ]);
    await bench.passes(100);
    expect([bench.dials.length, bench.dial.session]).toEqual([2, undefined]);
    bench.dial.welcome({ session: "second" });
    expect([bench.told(), bench.slot.isUp]).toEqual([["up second"], true]);
    // A visitor whose request was on its way.
    old.says({ record: "OPEN", stream: 4, kind: 1, head: "00" });
    expect(bench.streams.length).toBe(2);
    for (const { stream } of bench.streams) stream.reset("cancelled");
    await bench.passes(1_000);
    expect(old.link.ended).toBeUndefined();
    old.says({ record: "ACK", count: 1 });
    await bench.passes(1_000);
    expect(old.link.ended).toBeUndefined();
    old.goaway("bye", "going-away");
    await bench.passes(100);
    expect(old.told().at(-1)).toMatchObject({ record: "GOAWAY", kind: "bye", code: "goodbye" });
    expect(old.link.ended).toStartWith("close ");
    expect([bench.told(), bench.dials.length]).toEqual([[], 2]);
  });

  test("has what is open reset when the grace has passed", async () => {
    const bench = new SlotBench();
    const old = await bench.begin(1);
    old.goaway("drain", "going-away", 2_000);
    await bench.passes(100);
    bench.dial.welcome({ session: "second" });
    await bench.passes(1_800);
    expect(bench.streams[0]?.heard).toEqual([]);
    await bench.passes(200);
    expect(bench.streams[0]?.heard).toEqual(["reset goodbye"]);
    expect(old.link.ended).toStartWith("close ");
  });

  test("is resumed for what is open, and for no other session", async () => {
    const bench = new SlotBench();
    const old = await bench.begin(1);
    old.goaway("drain", "going-away");
    await bench.passes(100);
    bench.dial.welcome({ session: "second" });
    const second = bench.dial;
    bench.told();
    old.link.breaks();
    await bench.passes(100);
    const resumed = bench.dial;
    expect(resumed.session).toBe("first");
    expect(resumed.accept().resume).toMatchObject({ session: "first", only: true });
    expect(resumed.isProven).toBe(true);
    resumed.welcome();
    resumed.says({ record: "DATA", stream: 2, bytes: "00" });
    expect([bench.streams[0]?.heard, bench.told(), second.link.ended]).toEqual([["data 1"], [], undefined]);
    expect(resumed.hello.attempt).toBeGreaterThan(second.hello.attempt);
  });

  test("that has forgotten the session ends it, and its place is left alone", async () => {
    const bench = new SlotBench();
    const old = await bench.begin(1);
    old.goaway("drain", "going-away");
    await bench.passes(100);
    const second = bench.dial.welcome({ session: "second" });
    old.link.breaks();
    await bench.passes(100);
    bench.told();
    bench.dial.accept();
    bench.dial.says({
      ...{ record: "GOAWAY", kind: "error", code: "session-gone", lastStream: 0, graceMs: 0, reason: "" },
    });
    expect([bench.streams[0]?.heard, bench.told(), second.link.ended]).toEqual([
      ["reset link-lost"],
      [],
      undefined,
    ]);
    await bench.passes(1_000);
    expect(bench.dials.length).toBe(3);
  });

  test("and answers with a fresh session that nobody asked for has it dropped", async () => {
    const bench = new SlotBench();
    const old = await bench.begin(1);
    old.goaway("drain", "going-away");
    await bench.passes(100);
    const second = bench.dial.welcome({ session: "second" });
    old.link.breaks();
    await bench.passes(100);
    bench.told();
    bench.dial.welcome({ resumed: false, session: "third", secret: "A".repeat(43), first: 1 });
    expect([bench.dial.link.ended, bench.told(), second.link.ended, bench.streams[0]?.heard]).toEqual([
      "destroy",
      [],
      undefined,
      ["reset link-lost"],
    ]);
  });
});

describe("an agent that was replaced", () => {
  test("dials no more, and finishes what is open", async () => {
    const bench = new SlotBench();
    const old = await bench.begin(1);
    old.goaway("drain", "superseded");
    expect(bench.told()).toEqual(["down superseded 1 undefined"]);
    await bench.passes(1_000);
    expect([bench.dials.length, bench.streams[0]?.heard, old.link.ended]).toEqual([1, [], undefined]);
    bench.streams[0]?.stream.reset("cancelled");
    await turn();
    old.says({ record: "ACK", count: 1 });
    await bench.passes(100);
    expect(old.link.ended).toStartWith("close ");
  });
});

describe("a slot that is stopped", () => {
  test("says bye, lets what is open finish, and closes when all is acknowledged", async () => {
    const bench = new SlotBench();
    const { link, ...first } = await bench.begin(1);
    const dial = bench.dial;
    let stopped = false;
    const done = bench.slot.stop(10_000).then(() => {
      stopped = true;
    });
    await bench.passes(500);
    expect(dial.told()).toMatchObject([{ record: "GOAWAY", kind: "bye", code: "goodbye", graceMs: 10_000 }]);
    expect([bench.streams[0]?.heard, link.ended, first.session]).toEqual([[], undefined, undefined]);
    bench.streams[0]?.stream.end();
    dial.says({ record: "END", stream: 2 });
    await bench.passes(500);
    // The last END might have to be sent again.
    expect(link.ended).toBeUndefined();
    dial.says({ record: "ACK", count: 1 });
    await bench.passes(100);
    expect([link.ended?.startsWith("close "), stopped]).toEqual([true, false]);
    link.breaks();
    await done;
    expect([bench.told(), bench.dials.length]).toEqual([[], 1]);
  });

  test("goes on over another link while something is open", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    const done = bench.slot.stop(10_000);
    await bench.passes(100);
    first.link.breaks();
    await bench.passes(200);
    expect(bench.dial.accept().resume).toMatchObject({ session: "first", only: true });
    bench.dial.welcome();
    await turn();
    expect(bench.dial.told()).toMatchObject([{ record: "GOAWAY", kind: "bye" }]);
    expect(bench.streams[0]?.heard).toEqual([]);
    for (let second = 0; second < 10; second++) {
      await bench.passes(1_000);
      bench.dial.link.handler.heard();
    }
    expect(bench.streams[0]?.heard).toEqual(["reset goodbye"]);
    bench.dial.link.breaks();
    await done;
    await bench.passes(100_000);
    expect([bench.dials.length, bench.clock.timers]).toEqual([2, 0]);
  });

  test("without a link and with nothing open is done at once", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    bench.streams[0]?.stream.reset("cancelled");
    await turn();
    // What was said last is not acknowledged, and nobody is there to hear it again.
    first.link.breaks();
    const done = bench.slot.stop(10_000);
    await turn();
    await done;
    expect(bench.clock.timers).toBe(0);
    expect(bench.dials.length).toBe(1);
  });

  test("gives up a dial that is under way, and drops a link that comes of it", async () => {
    for (const accepted of [false, true]) {
      const bench = new SlotBench();
      if (accepted) bench.dial.accept();
      await bench.slot.stop(10_000);
      expect(accepted ? bench.dial.link.ended : bench.dial.cancelled).toBe(
        accepted ? "close 1000 goodbye" : true,
      );
      if (!accepted) {
        // It was too late to stop it.
        bench.dial.refuse(new UnderpassError("relay-unreachable"));
      }
      bench.clock.advance(100_000);
      expect([bench.told(), bench.dials.length, bench.clock.timers]).toEqual([[], 1, 0]);
    }
  });

  test("is not kept by a link that does not go", async () => {
    const bench = new SlotBench();
    await bench.begin();
    const done = bench.slot.stop(10_000);
    await bench.passes(1_100);
    await done;
    expect(bench.clock.timers).toBe(0);
  });

  test("does not wait for a relay that drains longer than for anything else", async () => {
    const bench = new SlotBench();
    const old = await bench.begin(1);
    old.goaway("drain", "going-away", 600_000);
    await bench.passes(100);
    bench.dial.welcome({ session: "second" });
    const second = bench.dial;
    const done = bench.slot.stop(2_000);
    await bench.passes(1_900);
    expect(bench.streams[0]?.heard).toEqual([]);
    await bench.passes(200);
    expect(bench.streams[0]?.heard).toEqual(["reset goodbye"]);
    for (const { link } of [old, second]) link.breaks();
    await done;
  });
});
