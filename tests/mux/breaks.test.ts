import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/mux/limits.ts";
import { Pair } from "./pair.ts";
import type { Talk } from "./talk.ts";

/** A stream of bytes: the visitor's side and the origin's. */
function opened(pair: Pair): [Talk, Talk] {
  const visitor = pair.relay.open(10, false, limits.bytesKind);
  pair.settle();
  const origin = visitor && pair.agent.talks.get(visitor.stream.id);
  if (visitor === undefined || origin === undefined) throw new Error("the stream did not arrive");
  return [visitor, origin];
}

describe("a break of bytes", () => {
  test.each(["cancelled", "origin-closed"] as const)("(%s) comes after what was said before", (code) => {
    for (const hasEnded of [false, true]) {
      const pair = new Pair();
      const [visitor, origin] = opened(pair);
      const [breaker, other] = code === "cancelled" ? [visitor, origin] : [origin, visitor];
      other.write(3_000);
      breaker.write(5);
      if (hasEnded) breaker.writeEnd();
      breaker.writeReset(code);
      pair.settle();
      expect(other.heard).toEqual(
        hasEnded
          ? [
              ["data", 5],
              ["end", 0],
            ]
          : [["data", 5]],
      );
      expect([other.heardReset, breaker.heard]).toEqual([code, []]);
      expect(pair.ends.map((end) => end.session.openStreams)).toEqual([0, 0]);
    }
  });

  test("does not wait for credit, nor for a stream that was not announced, nor where its code is another's", () => {
    const pair = new Pair({ slow: () => true });
    const [visitor, origin] = opened(pair);
    origin.write(500_000);
    origin.writeReset("origin-closed");
    pair.settle();
    expect([visitor.read > 60_000, visitor.read < 66_000, visitor.heardReset]).toEqual([
      true,
      true,
      "origin-closed",
    ]);
    const unsaid = pair.relay.open(10, false, limits.bytesKind);
    unsaid?.write(5);
    unsaid?.writeReset("cancelled");
    const [faulty, judge] = opened(pair);
    faulty.write(5);
    faulty.writeReset("stream-state");
    pair.settle();
    expect([pair.agent.talks.size, judge.heard, judge.heardReset]).toEqual([2, [], "stream-state"]);
    expect(pair.ends.map((end) => end.session.openStreams)).toEqual([0, 0]);
    expect(pair.ends.map((end) => end.memory.reservedBytes)).toEqual([0, 0]);
  });
});
