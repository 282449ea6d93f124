import { describe, expect, test } from "bun:test";
import { Credential } from "../../shared/dial/credential.ts";
import type { Link } from "../../shared/link.ts";
import { turn } from "../shared/driver-bench.ts";
import { SlotBench } from "./slot-bench.ts";

/** A slot, and what it tells of links that did not last: what a choice of transport rests on. */
function setUp(): { bench: SlotBench; lost: [Link, string][] } {
  const lost: [Link, string][] = [];
  const bench = new SlotBench({
    linkLost: (link, { carried }) => void lost.push([link, carried ? "carried" : "empty"]),
  });
  return { bench, lost };
}

describe("a link that did not last is told", () => {
  test("where it was closed, or silent, before WELCOME", () => {
    const { bench, lost } = setUp();
    const first = bench.dial;
    first.accept();
    first.link.breaks();
    bench.clock.advance(100);
    const second = bench.dial;
    second.accept();
    bench.clock.advance(10_000);
    expect(lost).toEqual([
      [first.link, "empty"],
      [second.link, "empty"],
    ]);
  });

  test("where the relay says that no HELLO came", () => {
    const { bench, lost } = setUp();
    const { dial } = bench;
    dial.accept();
    dial.goaway("error", "handshake-timeout");
    expect(lost).toEqual([[dial.link, "empty"]]);
  });

  test("where it was lost after WELCOME, and whether it had carried any of the streams", async () => {
    const { bench, lost } = setUp();
    const first = bench.dial.welcome();
    first.link.breaks();
    bench.clock.advance(100);
    const second = bench.dial.welcome();
    second.says({ record: "OPEN", stream: 2, kind: 1, head: "00" });
    await turn();
    second.link.breaks();
    bench.clock.advance(100);
    // What the session had carried before is not this link's.
    const third = bench.dial.welcome({ received: 0 });
    third.link.breaks();
    expect(lost).toEqual([
      [first.link, "empty"],
      [second.link, "carried"],
      [third.link, "empty"],
    ]);
  });

  test("where it was suspect until another took its place", async () => {
    const { bench, lost } = setUp();
    const first = await bench.begin(1);
    await bench.suspects();
    bench.dial.welcome();
    expect(lost).toEqual([[first.link, "carried"]]);
  });

  test("where the attempt to resume on it took too long", async () => {
    const { bench, lost } = setUp();
    (await bench.begin(1)).link.breaks();
    lost.length = 0;
    bench.clock.advance(100);
    const mute = bench.dial;
    mute.accept();
    bench.clock.advance(1_500);
    expect(lost).toEqual([[mute.link, "empty"]]);
  });
});

describe("a link is not told of", () => {
  test("where the relay said why it refuses, or nobody wanted it any more", async () => {
    const { bench, lost } = setUp();
    bench.dial.accept();
    bench.dial.goaway("error", "going-away");
    bench.clock.advance(100);
    bench.dial.accept();
    await bench.slot.stop(0);
    expect(lost).toEqual([]);
  });

  test("where it was good, and renewed", async () => {
    const { bench, lost } = setUp();
    await bench.begin(1);
    expect(bench.slot.session?.renew()).toBe(true);
    expect(bench.slot.session?.renew()).toBe(false);
    bench.dial.welcome();
    expect(lost).toEqual([]);
  });
});

test("a dial that takes too long is given up as such, through the reading of its token", async () => {
  const given: unknown[] = [];
  const credential = new Credential(async () => "token");
  const giveUp = credential.dial<Link>(
    () => (why) => void given.push(why),
    () => expect.unreachable(),
  );
  await turn();
  giveUp("late");
  expect(given).toEqual(["late"]);
});
