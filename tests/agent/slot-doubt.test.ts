import { describe, expect, test } from "bun:test";
import { turn } from "../shared/driver-bench.ts";
import { SlotBench } from "./slot-bench.ts";

test("a doubt of the relay's is passed on with its slot", async () => {
  const bench = new SlotBench();
  (await bench.begin()).says({ record: "DOUBT", slot: 5 });
  expect(bench.told()).toEqual(["doubted 5"]);
});

describe("a doubt of the link", () => {
  /** The link brings something, but nothing for what has been owed for long. */
  async function overdue() {
    const bench = new SlotBench();
    const first = await bench.begin(1);
    bench.streams[0]?.stream.write(new Uint8Array(1));
    await turn();
    for (let time = 0; time < 2; time++) {
      bench.clock.advance(200);
      first.link.handler.heard();
    }
    bench.slot.session?.doubt();
    return { bench, first };
  }

  test("on which an answer is overdue dials another beside it, though other bytes come", async () => {
    const { bench } = await overdue();
    bench.clock.advance(0);
    expect([bench.dials.length, bench.dial.session, bench.told()]).toEqual([2, "first", []]);
  });

  test("dials none when the answer has come and was only not read yet, as in a process that was starved", async () => {
    const { bench, first } = await overdue();
    first.says({ record: "ACK", count: 1 });
    bench.clock.advance(0);
    expect([bench.dials.length, bench.told()]).toEqual([1, []]);
  });
});
