import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { limits } from "../../shared/mux/limits.ts";
import { silentHandler } from "../../shared/mux/stream-handler.ts";
import { numberedDatagram } from "./numbered-datagram.ts";
import { type End, Pair } from "./pair.ts";

type Step =
  | { do: "open" | "cut"; side: boolean }
  | { do: "datagram" | "write"; side: boolean; pick: number; size: number }
  | { do: "end" | "reset"; side: boolean; pick: number }
  | { do: "poll" | "deliver"; side: boolean; times: number }
  | { do: "wait"; ms: number };

const side = fc.boolean();
const pick = fc.nat(100);
const size = fc.oneof(fc.nat(10), fc.nat(3_000), fc.nat(limits.maxDatagramBytes));
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant("open" as const), side }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("cut" as const), side }) },
    { weight: 10, arbitrary: fc.record({ do: fc.constant("datagram" as const), side, pick, size }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("write" as const), side, pick, size }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("end" as const, "reset"), side, pick }) },
    {
      weight: 10,
      arbitrary: fc.record({
        do: fc.constantFrom("poll" as const, "deliver"),
        side,
        times: fc.integer({ min: 1, max: 3 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat(700) }) },
  ),
  { minLength: 1, maxLength: 200, size: "max" },
);

/** One side's flows, with what was sent on each and what came. */
class Flows {
  readonly said = new Map<number, number[]>();
  readonly heard = new Map<number, number>();
  arrived = 0;

  constructor(readonly end: End) {
    const { handler } = end.session;
    if (handler === undefined) throw new Error("no handler");
    handler.datagram = ({ id, closed, handler: reader }, payload) => {
      if (closed || reader === silentHandler) throw new Error("a datagram after the close");
      this.#hear(id, payload);
    };
  }
  peer: Flows | undefined;

  say(id: number, length: number): Uint8Array {
    const sizes = this.said.get(id) ?? [];
    this.said.set(id, sizes);
    sizes.push(length);
    return numberedDatagram(sizes.length - 1, Math.max(length, 4));
  }

  #hear(id: number, payload: Uint8Array): void {
    const number = new DataView(payload.slice().buffer).getUint32(0);
    const length = this.peer?.said.get(id)?.[number];
    if (length === undefined) throw new Error(`datagram ${number} of stream ${id} was never sent`);
    if (payload.length !== Math.max(length, 4)) throw new Error(`datagram ${number} is not whole`);
    if (payload.subarray(4).some((byte) => byte !== (number & 0xff))) throw new Error("another's bytes");
    if (number <= (this.heard.get(id) ?? -1)) throw new Error("out of order, or twice");
    this.heard.set(id, number);
    this.arrived++;
  }
}

function run(pair: Pair, flows: readonly [Flows, Flows], step: Step): void {
  if (step.do === "wait") {
    pair.nowMs += step.ms;
    for (const end of pair.ends) pair.poll(end);
    return;
  }
  if (step.do === "cut") {
    pair.cut();
    pair.resume();
    return;
  }
  const mine = step.side ? flows[0] : flows[1];
  const { end } = mine;
  if ("times" in step) {
    for (let time = 0; time < step.times; time++) pair[step.do](end);
    return;
  }
  if (!("pick" in step)) {
    end.open(10);
    return;
  }
  const open = [...end.talks.values()].filter((talk) => !talk.stream.closed && !talk.deaf && !talk.ended);
  const talk = open[step.pick % Math.max(open.length, 1)];
  if (talk === undefined) return;
  if (step.do === "datagram") talk.stream.datagram(mine.say(talk.stream.id, step.size));
  else if (step.do === "write") talk.write(step.size);
  else if (step.do === "end") talk.writeEnd();
  else talk.writeReset("cancelled");
}

function scripted(script: readonly Step[]): readonly [Flows, Flows] {
  const pair = new Pair();
  const flows = [new Flows(pair.agent), new Flows(pair.relay)] as const;
  flows[0].peer = flows[1];
  flows[1].peer = flows[0];
  for (const step of script) run(pair, flows, step);
  pair.settle();
  return flows;
}

describe("on any schedule, over links that are cut", () => {
  test("datagrams arrive whole, once, in order, of open streams only, and none overtakes its OPEN", () => {
    // The oracles of the pair find those that overtake.
    fc.assert(
      fc.property(steps, (script) => void scripted(script)),
      { seed: 20_261_121, numRuns: 300, endOnFailure: true, includeErrorInReport: true },
    );
  });

  test("many of them do arrive", () => {
    let [said, arrived] = [0, 0];
    for (const script of fc.sample(steps, { seed: 5, numRuns: 60 })) {
      for (const one of scripted(script)) {
        for (const sizes of one.said.values()) said += sizes.length;
        arrived += one.arrived;
      }
    }
    expect(said).toBeGreaterThan(1_000);
    expect(arrived).toBeGreaterThan(said / 3);
  });
});
