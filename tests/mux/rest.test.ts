import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { SessionRest } from "../../shared/mux/rest.ts";
import { type End, Pair, type PairOptions } from "./pair.ts";
import { checkRest, endAll, run, type Step, step, windUp } from "./schedule.ts";

/** Of the 16 KiB that a platform keeps with a WebSocket, most are for the claims. */
const maxRestBytes = 4_096;

type RestStep =
  | Step
  /** A short stream. */
  | { do: "visit"; side: boolean; size: number }
  /** Whoever has a stream open ends it and reads on. */
  | { do: "end all" }
  /** Until there is none, and both sides have settled. */
  | { do: "wind up" }
  /** The relay suspects a link of a sibling's. */
  | { do: "doubt" }
  /** The process of a side ends and begins anew, if its session is at rest. */
  | { do: "anew"; side: boolean }
  | { do: "cut" }
  /** Another link: HELLO left `late` messages ago. */
  | { do: "resume"; late: number };

/** Short streams, so that there is a rest now and then, and in between all that happens elsewhere. */
const steps: fc.Arbitrary<RestStep[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: step },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant("visit" as const), side: fc.boolean(), size: fc.nat(300) }),
    },
    { weight: 3, arbitrary: fc.constantFrom({ do: "wind up" as const }, { do: "end all" as const }) },
    {
      weight: 10,
      arbitrary: fc.record({
        do: fc.constantFrom("poll" as const, "deliver"),
        side: fc.boolean(),
        times: fc.constant(1),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat(5) }) },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant("reset" as const), side: fc.boolean(), pick: fc.nat(10) }),
    },
    { weight: 1, arbitrary: fc.constant({ do: "doubt" as const }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant("anew" as const), side: fc.boolean() }) },
    { weight: 1, arbitrary: fc.constant({ do: "cut" as const }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("resume" as const), late: fc.nat(3) }) },
  ),
  { minLength: 1, maxLength: 120, size: "max" },
);

/** A pair whose sides are replaced at rest, and how often that was so, by what the session was doing then. */
class RestingPair extends Pair {
  readonly reached = new Map<string, number>();
  /** Whoever has said GOAWAY. */
  readonly leaving = new Set<End>();

  run(step: RestStep): void {
    switch (step.do) {
      case "visit": {
        const talk = (step.side ? this.agent : this.relay).open();
        talk?.write(step.size);
        talk?.writeEnd();
        break;
      }
      case "end all":
        endAll(this);
        break;
      case "wind up":
        if (this.agent.oracle.suspended) this.resume();
        windUp(this);
        break;
      case "doubt":
        this.relay.session.doubt(1);
        break;
      case "anew":
        this.beginAnew(step.side ? this.agent : this.relay);
        break;
      case "cut":
        this.cut();
        break;
      case "resume": {
        const { received } = this.agent.oracle;
        this.resume({ told: Math.max(0, received - step.late) });
        break;
      }
      default:
        run(this, step);
    }
    for (const end of this.ends) this.checkRestOf(end);
  }

  goaway(end: End): void {
    end.session.goaway("drain", "going-away", 30_000, "");
    // It is said at the next poll, and counts from now.
    end.oracle.lastAccepted = Math.min(end.oracle.lastAccepted, end.oracle.highestOfPeer);
    this.leaving.add(end);
  }

  private beginAnew(end: End): void {
    const { rest } = end.session;
    if (rest === undefined) return;
    const text = JSON.stringify(rest);
    expect(new TextEncoder().encode(text).length).toBeLessThan(maxRestBytes);
    const kept: SessionRest = JSON.parse(text);
    expect(structuredClone(kept)).toEqual(rest);
    // Nothing but `rest` stays, so nothing else may be held.
    expect([end.memory.reservedBytes, end.memory.beside.now]).toEqual([0, 0]);
    end.beginAnew(kept, this.nowMs);
    expect(end.session.rest).toEqual(kept);
    const { length } = end.inbox;
    this.note(
      end.oracle.suspended ? "without a link" : length > 0 ? "with a message on its way" : "on its link",
    );
    if (end.talks.size > 0) this.note("after streams");
  }

  /** What the oracle has seen on the wire says whether a session may call itself at rest. */
  private checkRestOf(end: End): void {
    const { session, oracle, goaways } = end;
    if (session.rest === undefined) return;
    const why: string[] = [];
    if (oracle.streams.size > 0) why.push("streams are open");
    if (oracle.ackedByPeer !== oracle.sentCount) why.push("it waits for an ACK");
    if (oracle.ackedByMe !== oracle.received) why.push("it owes an ACK");
    if (oracle.owed.length > 0) why.push(`it owes ${oracle.owed}`);
    if (this.leaving.has(end) || goaways.length > 0) why.push("somebody is leaving");
    if (session.poll(this.nowMs) !== undefined) why.push("something waits to be sent");
    if (why.length > 0) throw new Error(`the ${end.side} is not at rest: ${why}`);
  }

  private note(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1);
  }
}

function property(options: PairOptions, script: RestStep[]): RestingPair {
  const pair = new RestingPair(options);
  for (const step of script) pair.run(step);
  pair.run({ do: "wind up" });
  // At rest both have it, so that none of what was checked was checked of nothing.
  for (const end of pair.ends) {
    expect(end.session.rest).toBeDefined();
    expect(end.goaways).toEqual([]);
    expect(end.over).toBeUndefined();
  }
  return pair;
}

describe("a session that is made anew from its rest, whenever it has one, goes on as if nothing had been", () => {
  test.each([
    ["first windows", {}],
    ["large windows one way, small the other", { agentWindow: 1_048_576, relayWindow: 65_536 }],
    ["few streams, little memory", { streams: 3, capBytes: 8 * 65_536 }],
  ] as [string, PairOptions][])("%s", (_, options) => {
    fc.assert(
      fc.property(steps, fc.nat(3), (script, slow) => {
        const pair = property({ ...options, slow: (id) => slow > 0 && (id >> 1) % slow === 0 }, script);
        for (const side of [true, false]) pair.run({ do: "anew", side });
        for (const end of pair.ends) end.open()?.write(10);
        pair.run({ do: "wind up" });
        checkRest(pair);
      }),
      { seed: 20_261_121, numRuns: 500, endOnFailure: true, includeErrorInReport: true },
    );
  });

  test("the schedules reach what they are for", () => {
    const reached = new Map<string, number>();
    for (const script of fc.sample(steps, { seed: 7, numRuns: 60 }))
      for (const [what, times] of property({}, script).reached)
        reached.set(what, (reached.get(what) ?? 0) + times);
    for (const what of ["without a link", "with a message on its way", "on its link", "after streams"])
      expect({ what, often: (reached.get(what) ?? 0) >= 10 }).toEqual({ what, often: true });
  });
});

test("a session of which one side has said GOAWAY has no rest again, on neither side", () => {
  fc.assert(
    fc.property(steps, steps, fc.boolean(), (before, after, side) => {
      const pair = property({}, before);
      pair.goaway(side ? pair.agent : pair.relay);
      for (const step of after) pair.run(step);
      pair.run({ do: "wind up" });
      for (const end of pair.ends) expect(end.session.rest).toBeUndefined();
    }),
    { seed: 20_261_121, numRuns: 40, endOnFailure: true, includeErrorInReport: true },
  );
});

test("the rest of a session that has carried much is as small as at first, and its ids rise from there", () => {
  const pair = new Pair();
  for (let round = 0; round < 50; round++) {
    const talk = pair.relay.open();
    talk?.write(1_000);
    windUp(pair);
  }
  const { rest } = pair.relay.session;
  expect(rest).toMatchObject({ nextId: 102, highestOwnId: 100, highestPeerId: 0 });
  pair.relay.beginAnew(JSON.parse(JSON.stringify(rest)), pair.nowMs);
  pair.relay.open();
  pair.settle();
  expect(pair.relay.session.openStreams).toBe(1);
  expect([...pair.agent.talks.keys()].at(-1)).toBe(102);
});
