import { describe, expect, test } from "bun:test";
import { type LinkFacts, Liveness } from "../../shared/liveness.ts";

const quiet: LinkFacts = {
  ...{ oldest: undefined, unacknowledgedBytes: 0, openStreams: 0 },
  ...{
    tripMs: 0,
    smallestTripMs: 0,
    worstTripMs: 0,
    rate: 0,
    linkRate: 0,
    roadRate: 0,
    acknowledged: 0,
    received: 0,
  },
  crowd: undefined,
};

/** A message that left at `sentMs` and is not acknowledged, alone, on a link whose rate is known to be high. */
function waiting(sentMs: number, more: Partial<LinkFacts> = {}, bytes = 0): LinkFacts {
  const oldest = { sentMs, bytes: new Uint8Array(bytes) };
  return {
    ...{ ...quiet, oldest, unacknowledgedBytes: bytes, openStreams: 1, rate: 1e9, linkRate: 1e9 },
    ...more,
  };
}

const agent = (): Liveness => new Liveness({ pingsWhenIdle: true }, 0);
const relay = (): Liveness => new Liveness({ pingsWhenIdle: false }, 0);

/** Looks when it wants to be looked at, from `fromMs` on; returns when the state or a ping came. */
function until(
  liveness: Liveness,
  facts: LinkFacts,
  event: "suspect" | "dead" | "ping",
  fromMs: number,
): number {
  for (let nowMs = fromMs; nowMs < fromMs + 200_000; ) {
    const { ping, nextMs } = liveness.look(facts, nowMs);
    if (event === "ping" ? ping : liveness.state === event) return nowMs;
    expect(nextMs).toBeGreaterThan(nowMs);
    nowMs = nextMs;
  }
  throw new Error(`no ${event}`);
}

describe("a link is suspect", () => {
  test.each<[string, Partial<LinkFacts>, number, number]>([
    ["within 250 ms", {}, 0, 235],
    ["within 4 round trips where they are longer", { tripMs: 100 }, 0, 376],
    ["within 250 ms where they are shorter", { tripMs: 10 }, 0, 235],
    ["no sooner than the oldest message takes", { rate: 16.384 }, 16_384, 1_235],
    ["at 8,192 bytes a second while no rate is known", { rate: 0, linkRate: 0 }, 8_192, 1_235],
    ["with no more than 2 s for the message", { rate: 1 }, 65_536, 2_235],
  ])("%s", (_, more, bytes, afterMs) => {
    const liveness = agent();
    const facts = waiting(10, more, bytes);
    expect(liveness.look(facts, 10 + afterMs - 1)).toEqual({ ping: false, nextMs: 10 + afterMs });
    expect(liveness.state).toBe("up");
    liveness.look(facts, 10 + afterMs);
    expect(liveness.state).toBe("suspect");
  });

  test("counted from the last byte that came, not from what left before it", () => {
    const liveness = agent();
    liveness.heard(1_000);
    expect(until(liveness, waiting(10), "suspect", 1_000)).toBe(1_235);
  });

  test("counted from what left, not from the last byte before it", () => {
    const liveness = agent();
    liveness.heard(1_000);
    expect(until(liveness, waiting(5_000), "suspect", 5_000)).toBe(5_235);
  });

  test("for a ping that has no pong, and not before one went", () => {
    const liveness = agent();
    const pingedMs = until(liveness, quiet, "ping", 0);
    expect(until(liveness, quiet, "suspect", pingedMs)).toBe(pingedMs + 235);
  });

  test("until the first byte comes", () => {
    const liveness = agent();
    until(liveness, waiting(0), "suspect", 0);
    expect(liveness.heard(700)).toBe(true);
    expect(liveness.state).toBe("up");
    expect(liveness.heard(701)).toBe(false);
  });

  test("never, however slow it is, as long as bytes come", () => {
    const liveness = agent();
    const facts = waiting(0, { rate: 0.001, unacknowledgedBytes: 1e9 }, 65_536);
    for (let nowMs = 0; nowMs < 600_000; nowMs += 234) {
      liveness.heard(nowMs);
      liveness.look(facts, nowMs);
      liveness.look(facts, nowMs + 248);
      expect(liveness.state).toBe("up");
    }
  });

  test("twice as late after each suspicion that proved false, up to 30 s, until 64 messages have gone well", () => {
    const liveness = agent();
    let nowMs = 0;
    const suspectedAfter = (facts: Partial<LinkFacts>): number => {
      // Where nothing else holds it to less, so that death does not come first.
      const all = waiting(nowMs, { ...facts, worstTripMs: 60_000 });
      const atMs = until(liveness, all, "suspect", nowMs);
      const afterMs = atMs - nowMs;
      nowMs = atMs + 1;
      expect(liveness.heard(nowMs)).toBe(true);
      return afterMs;
    };
    expect(suspectedAfter({ acknowledged: 100 })).toBe(235);
    expect(suspectedAfter({ acknowledged: 101 })).toBe(470);
    expect(suspectedAfter({ acknowledged: 102 })).toBe(940);
    expect(suspectedAfter({ acknowledged: 102 + 63 })).toBe(1_880);
    // The last suspicion was at 165.
    expect(suspectedAfter({ acknowledged: 165 + 40, received: 24 })).toBe(235);
    const more = [1, 2, 3, 4, 5, 6].map((one) => suspectedAfter({ acknowledged: 205 + one }));
    expect(more).toEqual([470, 940, 1_880, 3_760, 7_520, 15_040]);
    // Nothing takes longer than death.
    expect(until(liveness, waiting(nowMs, { worstTripMs: 60_000 }), "dead", nowMs) - nowMs).toBe(30_000);
  });

  test("half as late after each ping that was answered in time: an idle link is trusted again too", () => {
    const liveness = agent();
    let nowMs = 0;
    const after = [0, 1, 2].map(() => {
      nowMs = until(liveness, quiet, "ping", nowMs);
      const atMs = until(liveness, quiet, "suspect", nowMs);
      liveness.heard(atMs);
      const afterMs = atMs - nowMs;
      nowMs = atMs;
      return afterMs;
    });
    expect(after[2]).toBeGreaterThan(after[0] ?? 0);
    for (let pong = 0; pong < 5; pong++) {
      nowMs = until(liveness, quiet, "ping", nowMs) + 10;
      liveness.heard(nowMs);
    }
    nowMs = until(liveness, quiet, "ping", nowMs);
    expect(until(liveness, quiet, "suspect", nowMs) - nowMs).toBe(235);
  });

  test("as soon as ever after one that was right: the next link had progress", () => {
    const liveness = agent();
    for (let turn = 0; turn < 5; turn++) {
      const nowMs = turn * 10_000;
      liveness.linked(nowMs);
      expect(until(liveness, waiting(nowMs, { acknowledged: turn }), "suspect", nowMs)).toBe(nowMs + 235);
    }
  });

  test("twice as late when link after link is left without progress", () => {
    const liveness = agent();
    const after = [0, 1, 2, 3].map((turn) => {
      const nowMs = turn * 100_000;
      liveness.linked(nowMs);
      return until(liveness, waiting(nowMs, { worstTripMs: 60_000 }), "suspect", nowMs) - nowMs;
    });
    expect(after).toEqual([235, 235, 470, 940]);
  });
});

describe("a link is dead", () => {
  test.each<[string, Partial<LinkFacts>, number, number]>([
    ["after 3 s at the least", { worstTripMs: 100 }, 0, 3_000],
    ["after 1 s and the worst round trip", { worstTripMs: 4_000 }, 0, 5_000],
    ["after what is in flight has had its time", { linkRate: 100, unacknowledgedBytes: 700_000 }, 0, 8_000],
    ["at 8,192 bytes a second on a link of no known rate", { linkRate: 0 }, 65_536, 9_000],
    ["after 30 s at the latest", { linkRate: 1, unacknowledgedBytes: 16_777_216 }, 65_536, 30_000],
  ])("%s", (_, more, bytes, afterMs) => {
    const liveness = agent();
    expect(until(liveness, waiting(0, more, bytes), "dead", 0)).toBe(afterMs);
    expect(liveness.look(waiting(0), afterMs + 1)).toEqual({ ping: false, nextMs: Number.POSITIVE_INFINITY });
  });

  test("counted from the last byte, which ends nothing but suspicion", () => {
    const liveness = agent();
    until(liveness, waiting(0), "suspect", 0);
    liveness.heard(2_900);
    expect(until(liveness, waiting(0), "dead", 2_900)).toBe(5_900);
  });

  test("twice as late after each death without progress, up to 30 s, and as soon as ever after progress", () => {
    const liveness = relay();
    let nowMs = 0;
    const diesAfter = (more: Partial<LinkFacts>): number => {
      liveness.linked(nowMs);
      const atMs = until(liveness, waiting(nowMs, more), "dead", nowMs);
      const afterMs = atMs - nowMs;
      nowMs = atMs + 500;
      return afterMs;
    };
    expect([1, 2, 3, 4, 5, 6].map(() => diesAfter({ acknowledged: 9 }))).toEqual([
      3_000, 6_000, 12_000, 24_000, 30_000, 30_000,
    ]);
    expect(diesAfter({ acknowledged: 9, received: 1 })).toBe(3_000);
    expect(diesAfter({ acknowledged: 9, received: 1 })).toBe(6_000);
    expect(diesAfter({ acknowledged: 10, received: 1 })).toBe(3_000);
  });

  test("bytes alone are no progress: HELLO and WELCOME come on each link", () => {
    const liveness = agent();
    for (const [fromMs, afterMs] of [
      [0, 3_000],
      [100_000, 6_000],
    ] as const) {
      liveness.linked(fromMs);
      liveness.heard(fromMs + 10);
      expect(until(liveness, waiting(fromMs), "dead", fromMs + 10)).toBe(fromMs + 10 + afterMs);
    }
  });
});

describe("a ping goes", () => {
  test.each<[string, Liveness, number, number]>([
    ["by the agent after 2 s with streams open", agent(), 1, 2_000],
    ["by the relay after 2 s with streams open", relay(), 1, 2_000],
    ["by the agent after 15 s without", agent(), 0, 15_000],
  ])("%s, once, and again so long after the answer", (_, liveness, openStreams, everyMs) => {
    const facts = { ...quiet, openStreams };
    const pingedMs = until(liveness, facts, "ping", 0);
    expect(pingedMs).toBe(everyMs);
    expect(liveness.isAsking).toBe(true);
    expect(liveness.look(facts, pingedMs + 1).ping).toBe(false);
    liveness.heard(pingedMs + 100);
    expect(liveness.isAsking).toBe(false);
    expect(until(liveness, facts, "ping", pingedMs + 100)).toBe(pingedMs + 100 + everyMs);
  });

  test("never while bytes come, or while something else is unanswered", () => {
    const liveness = agent();
    const facts = { ...quiet, openStreams: 1 };
    for (let nowMs = 0; nowMs < 60_000; nowMs += 1_999) {
      liveness.heard(nowMs);
      expect(liveness.look(facts, nowMs + 1_998).ping).toBe(false);
    }
    const other = agent();
    for (let nowMs = 0; nowMs < 4_900; nowMs += 100)
      expect(other.look(waiting(0, { worstTripMs: 4_000 }), nowMs).ping).toBe(false);
  });

  test("by an idle relay never: a link on which nothing came for 45 s is dead", () => {
    const liveness = relay();
    liveness.heard(1_000);
    expect(liveness.look(quiet, 45_999)).toEqual({ ping: false, nextMs: 46_000 });
    expect(until(liveness, quiet, "dead", 46_000)).toBe(46_000);
  });

  test("at once after this side did not run, whatever the time, and the silence before it counts for nothing", () => {
    for (const liveness of [agent(), relay()]) {
      liveness.ask(100_000);
      expect(liveness.look(quiet, 100_000)).toMatchObject({ ping: true });
      expect(liveness.state).toBe("up");
      expect(until(liveness, quiet, "suspect", 100_000)).toBe(100_235);
    }
    const busy = agent();
    busy.ask(100_000);
    expect(busy.look(waiting(10), 100_000)).toEqual({ ping: false, nextMs: 100_235 });
  });
});

describe("a link is slow", () => {
  /** 150 ms there and back; what left from 20 s on waits, where the road has carried 10,000 bytes a millisecond. */
  const long = {
    ...{ tripMs: 150, smallestTripMs: 150, linkRate: 1_000, roadRate: 10_000 },
    crowd: { sinceMs: 20_000, untilMs: 20_500, bytes: 500_000 },
  };
  const crowded = (more: Partial<LinkFacts> = {}, sentMs = 20_400): LinkFacts =>
    waiting(sentMs, { ...long, ...more });

  /** When it is found slow, while a byte comes each 50 ms; undefined: not within a minute. */
  function slowAt(liveness: Liveness, facts: LinkFacts, fromMs: number): number | undefined {
    for (let nowMs = fromMs; nowMs < fromMs + 60_000; nowMs += 50) {
      liveness.heard(nowMs);
      for (let lookMs = nowMs; lookMs < nowMs + 50; ) {
        const { slow, nextMs } = liveness.look(facts, lookMs);
        expect(liveness.state).toBe("up");
        if (slow === true) return lookMs;
        expect(nextMs).toBeGreaterThan(lookMs);
        lookMs = nextMs;
      }
    }
    return undefined;
  }

  test.each<[string, Partial<LinkFacts>, number | undefined]>([
    ["when in 12 round trips a thirty-second of what the road carries has arrived", {}, 21_800],
    ["however long answers take of late", { tripMs: 4_000 }, 21_800],
    ["no sooner than after 1 s", { smallestTripMs: 20, crowd: { ...long.crowd, bytes: 300_000 } }, 21_000],
    [
      "where nothing is known of the road at 100,000 bytes a second",
      { roadRate: 0, crowd: { ...long.crowd, bytes: 170_000 } },
      21_800,
    ],
    ["but not where more arrives", { crowd: { ...long.crowd, bytes: 600_000 } }, undefined],
    ["but not where nothing waits", { crowd: undefined }, undefined],
  ])("%s", (_, more, atMs) => {
    expect(slowAt(agent(), crowded(more), 20_000)).toBe(atMs);
  });

  test("not for what waited before a pause", () => {
    expect(slowAt(agent(), crowded({}, 20_651), 20_651)).toBeUndefined();
  });

  test("not within 10 s of its beginning, and not for what waited while nobody listened", () => {
    const liveness = agent();
    liveness.linked(20_000);
    expect(slowAt(liveness, crowded(), 20_000)).toBe(31_800);
    const asleep = agent();
    asleep.ask(60_000);
    expect(slowAt(asleep, crowded(), 60_000)).toBe(61_800);
    const suspect = agent();
    until(suspect, crowded(), "suspect", 20_400);
    suspect.heard(40_000);
    expect(slowAt(suspect, crowded(), 40_000)).toBe(41_800);
  });

  test("once; its successor only where that has been quicker, as otherwise it is the road", () => {
    const liveness = agent();
    expect(slowAt(liveness, crowded(), 20_000)).toBe(21_800);
    liveness.linked(23_000);
    // 500,000 bytes in 1.8 s were 278 a millisecond.
    expect(slowAt(liveness, crowded(), 23_000)).toBeUndefined();
    expect(slowAt(liveness, crowded({ linkRate: 1_200 }), 90_000)).toBe(90_000);
  });
});

describe("this side's own silence", () => {
  test("does not move when the last byte came: the resume window is counted from there", () => {
    const liveness = agent();
    liveness.heard(500);
    liveness.ask(90_000);
    expect(liveness.lastHeardMs).toBe(500);
    liveness.linked(95_000);
    expect(liveness.lastHeardMs).toBe(95_000);
  });

  test("makes a link suspect at once where its owner says so, till it shows life", () => {
    const liveness = agent();
    liveness.ask(50_000);
    liveness.suspect();
    expect(liveness.state).toBe("suspect");
    expect(liveness.look(quiet, 50_000).ping).toBe(true);
    expect(liveness.heard(50_020)).toBe(true);
    expect(liveness.state).toBe("up");
  });
});

test("a new link begins without the pings and suspicion of the one before, and with no silence", () => {
  const liveness = agent();
  until(liveness, quiet, "ping", 0);
  until(liveness, quiet, "suspect", 15_000);
  liveness.linked(20_000);
  expect([liveness.state, liveness.isAsking, liveness.lastHeardMs]).toEqual(["up", false, 20_000]);
  expect(until(liveness, quiet, "ping", 20_000)).toBe(35_000);
});
