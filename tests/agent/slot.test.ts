import { describe, expect, test } from "bun:test";
import { RelayRefusal } from "../../shared/dial/relay-refusal.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { pongText } from "../../shared/liveness.ts";
import { turn } from "../shared/driver-bench.ts";
import { instance, SlotBench, secret } from "./slot-bench.ts";

const unreachable = new UnderpassError("relay-unreachable");

describe("a slot", () => {
  test("dials for a fresh session, with attempts that rise over all its HELLOs", async () => {
    const bench = new SlotBench();
    expect(bench.dial.session).toBeUndefined();
    const hello = bench.dial.accept();
    expect(hello).toMatchObject({ attempt: 1, received: 0, instance, slot: 0 });
    expect([hello.resume, hello.join]).toEqual([undefined, undefined]);
    bench.dial.link.breaks();
    expect(bench.told()).toEqual(["down link-lost 1 100"]);
    bench.clock.advance(99);
    expect(bench.dials.length).toBe(1);
    bench.clock.advance(1);
    expect(bench.dial.accept().attempt).toBe(2);
    bench.dial.welcome();
    expect([bench.told(), bench.slot.isUp]).toEqual([["up first"], true]);
  });

  test("waits for its first session as the backoff says, which is reset by progress and not by a WELCOME", async () => {
    const bench = new SlotBench();
    bench.dial.refuse(unreachable);
    bench.clock.advance(100);
    bench.dial.refuse(new RelayRefusal("too-many-links", "", 5_000));
    expect(bench.waits).toEqual([0, 5_000]);
    bench.clock.advance(5_099);
    expect(bench.dials.length).toBe(2);
    bench.clock.advance(1);
    bench.dial.welcome();
    bench.dial.link.breaks();
    expect(bench.waits).toEqual([0, 5_000, 0]);
    bench.clock.advance(100);
    bench.dial.welcome();
    expect(bench.waits).toEqual([0, 5_000, 0]);
    bench.dial.link.says(pongText);
    expect(bench.waits).toEqual([0, 5_000, 0, "reset"]);
    bench.dial.says({ record: "ACK", count: 0 });
    expect(bench.waits.length).toBe(4);
    // The link was good: what an older session has tried in vain meanwhile does not count.
    bench.dial.link.breaks();
    expect(bench.waits.slice(4)).toEqual(["reset", 0]);
  });

  test("takes no resumed session for a first one", () => {
    const bench = new SlotBench();
    bench.dial.welcome({ resumed: true, secret });
    expect(bench.dial.link.ended).toStartWith("close ");
    expect(bench.told()).toEqual(["down protocol-error 1 100"]);
  });
});

describe("a link that is lost", () => {
  test("is told, and the session goes on with the next: proof, counts, and streams that notice nothing", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    bench.streams[0]?.stream.write(new Uint8Array(5));
    await turn();
    first.link.breaks();
    expect([bench.told(), bench.slot.isUp]).toEqual([["down link-lost 1 100"], false]);
    bench.clock.advance(100);
    const second = bench.dial;
    expect(second.session).toBe("first");
    expect(second.accept()).toMatchObject({ attempt: 2, received: 1, resume: { session: "first" } });
    expect([second.hello.resume?.only, second.isProven]).toEqual([undefined, true]);
    second.welcome({ received: 0 });
    await turn();
    expect([bench.told(), second.told()]).toMatchObject([
      ["up first resumed"],
      [{ record: "DATA", stream: 2, bytes: "0000000000" }],
    ]);
    second.says({ record: "DATA", stream: 2, bytes: "00" });
    expect(bench.streams[0]?.heard).toEqual(["data 1"]);
  });

  test("is followed by dial after dial, with a wait between, until the window is over; then by a fresh session", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    first.link.breaks();
    for (let dials = 0; dials < 599; dials++) {
      bench.clock.advance(100);
      expect([bench.dials.length, bench.dial.session]).toEqual([dials + 2, "first"]);
      bench.dial.refuse(unreachable);
    }
    expect(bench.streams[0]?.heard).toEqual([]);
    bench.clock.advance(100);
    expect(bench.streams[0]?.heard).toEqual(["reset link-lost"]);
    expect(bench.told().at(-1)).toMatch(/^down link-lost \d+ 100$/);
    bench.clock.advance(100);
    expect(bench.dial.session).toBeUndefined();
    const { attempt } = bench.dial.accept();
    expect(attempt).toBe(2);
    bench.dial.welcome({ session: "second" });
    expect(bench.told()).toEqual(["up second"]);
  });

  test("with a dial under way for another waits for that one", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    await bench.suspects();
    const second = bench.dial;
    second.accept();
    first.link.breaks();
    expect([bench.told(), bench.dials.length]).toEqual([["suspect"], 2]);
    second.welcome();
    expect([bench.told(), bench.dials.length, bench.slot.isUp]).toEqual([["up first resumed"], 2, true]);
  });

  test("whose next gets no answer is dialled again, the one before given up", async () => {
    const bench = new SlotBench();
    (await bench.begin(1)).link.breaks();
    bench.clock.advance(100);
    const mute = bench.dial;
    mute.accept();
    bench.clock.advance(1_499);
    expect(mute.link.ended).toBeUndefined();
    bench.clock.advance(1);
    expect([mute.link.ended, bench.dials.length]).toEqual(["destroy", 2]);
    bench.clock.advance(100);
    expect([bench.dials.length, bench.dial.session]).toEqual([3, "first"]);
    expect(bench.dial.accept().attempt).toBeGreaterThan(mute.hello.attempt);
    // Its answer comes late.
    mute.link.handler.message(new Uint8Array(9));
    // The way is slow, perhaps: each dial has longer than the one before, up to 10 s.
    for (const limitMs of [3_000, 6_000, 10_000, 10_000]) {
      const { dial } = bench;
      bench.clock.advance(limitMs - 1);
      expect([dial.link.ended, dial.cancelled]).toEqual([undefined, false]);
      bench.clock.advance(101);
      expect(bench.dial).not.toBe(dial);
    }
    expect(bench.streams[0]?.heard).toEqual([]);
    bench.dial.welcome();
    expect(bench.told().at(-1)).toBe("up first resumed");
  });
});

describe("a suspect link", () => {
  test("is left for a parallel one as soon as that is welcome, and used until then", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    await bench.suspects();
    expect([bench.told(), bench.dials.length, bench.slot.isUp]).toEqual([["suspect"], 2, true]);
    const second = bench.dial;
    expect(second.session).toBe("first");
    expect(second.accept().received).toBe(1);
    first.says({ record: "DATA", stream: 2, bytes: "00" });
    expect([bench.streams[0]?.heard, first.link.ended]).toEqual([["data 1"], undefined]);
    // It comes again on the new link, as it was not in the count.
    second.welcome({ first: 2 });
    expect([first.link.ended, bench.told()]).toEqual(["destroy", ["up first resumed"]]);
    first.says({ record: "DATA", stream: 2, bytes: "00" });
    second.says({ record: "DATA", stream: 2, bytes: "00" });
    second.says({ record: "DATA", stream: 2, bytes: "0000" });
    expect(bench.streams[0]?.heard).toEqual(["data 1", "data 2"]);
  });

  test("that shows life before the HELLO has left stays, and the dial is given up", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    await bench.suspects();
    const second = bench.dial;
    first.link.handler.heard();
    expect([bench.told(), second.cancelled]).toEqual([["suspect", "up first resumed"], true]);
    // It was too late to stop it.
    second.opens();
    expect(second.link.ended).toBe("destroy");
    await bench.passes(200);
    expect([bench.told(), bench.dials.length, first.link.ended]).toEqual([[], 2, undefined]);
  });

  test("that shows life after the HELLO has left is left all the same: the relay may have moved", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    await bench.suspects();
    const second = bench.dial;
    second.accept();
    first.link.handler.heard();
    expect([second.cancelled, second.link.ended]).toEqual([false, undefined]);
    second.welcome();
    expect([first.link.ended, second.link.ended, bench.slot.isUp]).toEqual(["destroy", undefined, true]);
  });

  test("has one dial at a time", async () => {
    const bench = new SlotBench();
    await bench.begin(1);
    await bench.suspects();
    bench.dial.refuse(unreachable);
    expect(bench.dials.length).toBe(2);
    bench.clock.advance(99);
    expect(bench.dials.length).toBe(2);
    bench.clock.advance(1);
    expect(bench.dials.length).toBe(3);
  });
});

describe("a fresh answer to a resume", () => {
  test("resets the old streams at once, and the session is another", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(2);
    first.link.breaks();
    bench.told();
    bench.clock.advance(100);
    bench.dial.welcome({ resumed: false, session: "second", secret, first: 1 });
    expect(bench.streams.map(({ heard }) => heard)).toEqual([["reset link-lost"], ["reset link-lost"]]);
    expect([bench.told(), bench.slot.openStreams, bench.slot.isUp]).toEqual([["up second"], 0, true]);
    // Its ids and counts begin anew.
    bench.dial.says({ record: "OPEN", stream: 2, kind: 1, head: "00" });
    bench.dial.link.breaks();
    bench.clock.advance(100);
    expect(bench.dial.session).toBe("second");
    expect(bench.dial.accept()).toMatchObject({ received: 1, attempt: 3 });
  });
});

describe("a resume that is refused", () => {
  test.each(["proof-invalid", "session-gone", "protocol-error"] as const)(
    "with %s ends the session, and a fresh one is dialled",
    async (code) => {
      const bench = new SlotBench();
      (await bench.begin(1)).link.breaks();
      bench.told();
      bench.clock.advance(100);
      bench.dial.accept();
      bench.dial.says({ record: "GOAWAY", kind: "error", code, lastStream: 0, graceMs: 0, reason: "" });
      expect(bench.streams[0]?.heard).toEqual(["reset link-lost"]);
      expect(bench.told()).toEqual([`down ${code} 2 100`]);
      bench.clock.advance(100);
      expect([bench.dials.length, bench.dial.session]).toEqual([3, undefined]);
    },
  );

  test("otherwise leaves the session as it is, to be tried again", async () => {
    const bench = new SlotBench();
    (await bench.begin(1)).link.breaks();
    bench.clock.advance(100);
    bench.dial.accept();
    bench.dial.goaway("error", "going-away");
    bench.clock.advance(100);
    expect([bench.dials.length, bench.dial.session, bench.streams[0]?.heard]).toEqual([3, "first", []]);
  });

  test.each([
    ["another session", { session: "other" }],
    ["a first number that it knows to be received", { first: 1 }],
    ["a first number with a gap before it", { first: 3 }],
    ["more received than was sent", { received: 9 }],
    ["less received than was acknowledged", { received: 0 }],
  ])("by %s in its WELCOME is against the rules: the session ends", async (_, facts) => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    bench.streams[0]?.stream.write(new Uint8Array(1));
    await turn();
    first.says({ record: "ACK", count: 1 });
    first.link.breaks();
    bench.told();
    bench.clock.advance(100);
    const { link } = bench.dial.welcome({ received: 1, ...facts });
    expect(link.ended).toStartWith("close ");
    expect([bench.streams[0]?.heard, bench.told()]).toEqual([
      ["reset link-lost"],
      ["down protocol-error 2 100"],
    ]);
  });
});

// A relay that was killed and started again at its address left the agents of a cluster outside for 5 s and more.
test("a relay that can't reach the session's, and asks for time, is dialled for a fresh one as if it were the first dial", async () => {
  const bench = new SlotBench();
  const { link } = await bench.begin(1);
  link.breaks();
  bench.clock.advance(100);
  bench.waits.length = 0;
  bench.told();
  bench.dial.refuse(new RelayRefusal("session-elsewhere", "", 5_000));
  // Of the fresh session, and of the one that is tried for because of its stream.
  expect(bench.waits).toEqual(["reset", 0, 0]);
  expect(bench.told()).toEqual(["down session-elsewhere 2 100"]);
  bench.clock.advance(100);
  expect(bench.dial.session).toBeUndefined();
  bench.dial.welcome({ session: "second" });
  expect(bench.told()).toEqual(["up second"]);
  expect(bench.streams[0]?.heard).toEqual([]);
  await bench.passes(5_000);
  expect(bench.dial.session).toBe("first");
  bench.dial.refuse(new RelayRefusal("session-gone"));
  expect(bench.streams[0]?.heard).toEqual(["reset link-lost"]);
});

describe("a final error", () => {
  test("ends a session without a link, and nothing is dialled any more", async () => {
    const bench = new SlotBench({ isFinal: () => true });
    (await bench.begin(1)).link.breaks();
    expect([bench.streams[0]?.heard, bench.told()]).toEqual([
      ["reset link-lost"],
      ["down link-lost 1 undefined"],
    ]);
    bench.clock.advance(100_000);
    expect(bench.dials.length).toBe(1);
  });

  test("of a renewal leaves a link alone that nothing is wrong with", async () => {
    const bench = new SlotBench({ isFinal: () => true });
    const first = await bench.begin(1);
    bench.slot.session?.renew();
    bench.dial.refuse(unreachable);
    expect([bench.told(), bench.streams[0]?.heard, bench.slot.isUp, first.link.ended]).toEqual([
      [],
      [],
      true,
      undefined,
    ]);
  });
});

describe("a renewal", () => {
  test("moves the session to a new link, and nobody is told", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    bench.slot.session?.renew();
    bench.slot.session?.renew();
    expect([bench.dials.length, bench.dial.session]).toEqual([2, "first"]);
    bench.dial.welcome();
    expect([first.link.ended, bench.told(), bench.streams[0]?.heard]).toEqual(["destroy", [], []]);
  });

  test.each([
    ["is made of a link where what is sent waits, and little arrives for what others carry: once", 10_000, 2],
    ["is not made where others carry little more", 500, 1],
  ])("%s", async (_, roadRate, dials) => {
    const bench = new SlotBench({ roadRate: () => roadRate });
    const first = await bench.begin(8);
    const pass = (ms: number): void => {
      for (let step = 0; step < ms; step += 50) {
        bench.clock.advance(50);
        first.link.handler.heard();
      }
    };
    pass(10_000);
    for (const { stream } of bench.streams) stream.write(new Uint8Array(60_000));
    await turn();
    // 16 KiB in each 100 ms.
    for (let count = 1; count < 17; count++) {
      pass(100);
      first.says({ record: "ACK", count });
      await turn();
    }
    expect([bench.told(), bench.dials.length]).toEqual([[], dials]);
    if (dials > 1) bench.dial.refuse(unreachable);
    pass(9_000);
    expect([bench.told(), bench.dials.length, first.link.ended]).toEqual([[], dials, undefined]);
  });

  test("that fails is not tried again", async () => {
    const bench = new SlotBench();
    await bench.begin(1);
    bench.slot.session?.renew();
    bench.dial.refuse(unreachable);
    bench.clock.advance(1_000);
    expect([bench.told(), bench.dials.length]).toEqual([[], 2]);
  });

  test("does not happen on a link that is suspect or gone: a dial is under way anyway", async () => {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    await bench.suspects();
    bench.slot.session?.renew();
    expect(bench.dials.length).toBe(2);
    bench.dial.refuse(unreachable);
    first.link.breaks();
    bench.slot.session?.renew();
    expect(bench.dials.length).toBe(2);
  });
});
