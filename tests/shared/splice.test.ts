import { describe, expect, test } from "bun:test";
import { type SpliceEnd, splice } from "../../shared/splice.ts";
import { FakePipeEnd } from "./fake-pipe-end.ts";

function joined() {
  const one = new FakePipeEnd();
  const other = new FakePipeEnd();
  const ends: SpliceEnd[] = [];
  const pipe = splice(one, other, (end) => ends.push(end));
  return { one, other, ends, pipe };
}

describe("a splice", () => {
  test("carries bytes both ways, counts them, and ends each direction on its own", () => {
    const { one, other, ends } = joined();
    one.says("question");
    other.says("an");
    one.handler.ended();
    expect([other.text, other.ended, one.ended, ends]).toEqual(["question", true, false, []]);
    other.says("swer");
    other.handler.ended();
    expect([one.text, one.ended]).toEqual(["answer", true]);
    expect(ends).toEqual([{ forth: 8, back: 6 }]);
    expect([one.abortedWith, other.abortedWith]).toEqual([undefined, undefined]);
  });

  test("slows each end by what waits at the other, and by nothing else", () => {
    const { one, other } = joined();
    other.weighs = 700;
    one.says("x");
    expect([one.heldBytes, other.heldBytes]).toEqual([700, 0]);
    other.drains(300);
    expect([one.heldBytes, other.heldBytes]).toEqual([300, 0]);
    other.drains(0);
    one.weighs = 5;
    other.says("y");
    expect([one.heldBytes, other.heldBytes]).toEqual([0, 5]);
  });

  test("is over only when what waits has left, after both directions ended", () => {
    const { one, other, ends } = joined();
    other.weighs = 100;
    one.says("late");
    one.handler.ended();
    other.handler.ended();
    expect(ends).toEqual([]);
    other.drains(40);
    expect(ends).toEqual([]);
    other.drains(0);
    expect(ends).toEqual([{ forth: 4, back: 0 }]);
  });

  test("asks what waits when a direction ends: what was gathered counted as gone until then", () => {
    const { one, other, ends } = joined();
    one.says("gathered");
    other.weighs = 8;
    one.handler.ended();
    other.handler.ended();
    expect(ends).toEqual([]);
    other.drains(0);
    expect(ends).toHaveLength(1);
  });

  test("breaks the other end with the code, tells it once, and hears nothing after", () => {
    const { one, other, ends } = joined();
    one.says("half");
    one.handler.aborted("cancelled");
    expect([one.abortedWith, other.abortedWith]).toEqual([undefined, "cancelled"]);
    other.says("ignored");
    other.handler.ended();
    other.handler.aborted("origin-closed");
    expect([one.text, one.ended]).toEqual(["", false]);
    expect(ends).toEqual([{ forth: 4, back: 0, code: "cancelled" }]);
  });

  test("that breaks while the last bytes wait is broken, though both directions had ended", () => {
    const { one, other, ends } = joined();
    other.weighs = 100;
    one.says("last");
    one.handler.ended();
    other.handler.ended();
    other.handler.aborted("origin-closed");
    expect(one.abortedWith).toBe("origin-closed");
    expect(ends).toEqual([{ forth: 4, back: 0, code: "origin-closed" }]);
  });

  test("can be aborted from outside, once", () => {
    const { one, other, ends, pipe } = joined();
    pipe.abort("going-away");
    pipe.abort("cancelled");
    expect([one.abortedWith, other.abortedWith]).toEqual(["going-away", "going-away"]);
    expect(ends).toEqual([{ forth: 0, back: 0, code: "going-away" }]);
  });
});
