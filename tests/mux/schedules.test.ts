import { describe, test } from "bun:test";
import fc from "fast-check";
import { limits } from "../../shared/mux/limits.ts";
import { Pair, type PairOptions } from "./pair.ts";
import { checkRest, run, type Step, steps, windUp } from "./schedule.ts";

/** What a schedule went through, to see that the schedules are worth their time. */
function note(pair: Pair, reached: Map<string, number>): void {
  const add = (what: string) => reached.set(what, (reached.get(what) ?? 0) + 1);
  for (const { session, talks, memory } of pair.ends) {
    if (session.unacknowledgedBytes >= session.ledger.flight.budgetBytes) add("flight budget full");
    if (session.ledger.flight.budgetBytes > limits.minFlightBytes) add("flight budget grown");
    if (memory.reservedBytes > session.openStreams * limits.initialWindowBytes) add("window grown");
    for (const { stream, full, held, heardReset } of talks.values()) {
      if (full) add("writer told to wait");
      if (held > 32_768) add("reader holds");
      if (heardReset !== undefined) add(`reset ${heardReset}`);
      if (!stream.closed && stream.queued > 0 && !stream.sendable) add("credit used up");
    }
  }
}

function property(options: PairOptions, script: Step[], reached = new Map<string, number>()): void {
  const pair = new Pair(options);
  for (const step of script) {
    run(pair, step);
    note(pair, reached);
    for (const end of pair.ends)
      for (const talk of end.talks.values())
        if (talk.stream.queued > limits.streamQueueHighBytes + 150_000)
          throw new Error("a queue is unbounded");
  }
  windUp(pair);
  checkRest(pair);
}

describe("two sessions on any schedule deliver every byte in order, keep every bound, and come to rest", () => {
  test.each([
    ["first windows", {}],
    ["little memory, so that streams are refused and windows do not grow", { capBytes: 2 * 4 * 65_536 }],
    ["large windows one way, small the other", { agentWindow: 1_048_576, relayWindow: 65_536 }],
    ["few streams", { streams: 3 }],
  ] as [string, PairOptions][])("%s", (_, options) => {
    fc.assert(
      fc.property(steps, fc.nat(3), (script, slow) => {
        property({ ...options, slow: (id) => slow > 0 && (id >> 1) % slow === 0 }, script);
      }),
      { seed: 20_261_121, numRuns: 150, endOnFailure: true, includeErrorInReport: true },
    );
  });
});

test("the schedules reach what they are for", () => {
  const reached = new Map<string, number>();
  for (const script of fc.sample(steps, { seed: 7, numRuns: 60 }))
    property({ capBytes: 24 * 65_536, slow: (id) => id % 3 === 0 }, script, reached);
  const wanted = [
    "flight budget full",
    "flight budget grown",
    "writer told to wait",
    "reader holds",
    "credit used up",
    "reset cancelled",
    "reset no-error",
    "reset too-many-streams",
  ];
  const seldom = wanted.filter((what) => (reached.get(what) ?? 0) < 5);
  if (seldom.length > 0) throw new Error(`${seldom} are reached too seldom: ${JSON.stringify([...reached])}`);
});
