import { expect } from "bun:test";
import fc from "fast-check";
import type { End, Pair } from "./pair.ts";
import type { Said, Talk } from "./talk.ts";

/** What happens to a pair, one after the other. `side`: the agent. */
export type Step =
  | { do: "open"; side: boolean; head: number; slow: boolean }
  | { do: "write" | "head" | "take"; side: boolean; pick: number; size: number }
  | { do: "end" | "left" | "reset" | "finish"; side: boolean; pick: number }
  | { do: "poll" | "deliver"; side: boolean; times: number }
  | { do: "datagram"; side: boolean; pick: number; size: number }
  | { do: "wait"; ms: number };

const side = fc.boolean();
const pick = fc.nat(1_000);
export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("open" as const),
      side,
      head: fc.nat(40_000),
      slow: fc.boolean(),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("write" as const), side, pick, size: sizes() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom("head" as const, "datagram"),
      side,
      pick,
      size: fc.nat(32_800),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("take" as const), side, pick, size: sizes() }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom("end" as const, "left", "reset", "finish"), side, pick }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom("poll" as const, "deliver"),
      side,
      times: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat(60) }) },
);
export const steps: fc.Arbitrary<Step[]> = fc.array(step, { minLength: 1, maxLength: 160, size: "max" });

/** Mostly small, now and then more than a window. */
function sizes(): fc.Arbitrary<number> {
  return fc.oneof(fc.nat(300), fc.nat(20_000), fc.nat(150_000));
}

export function run(pair: Pair, step: Step): void {
  if (step.do === "wait") {
    pair.nowMs += step.ms;
    // A driver keeps its deadlines.
    for (const end of pair.ends) pair.poll(end);
    return;
  }
  const end = step.side ? pair.agent : pair.relay;
  switch (step.do) {
    case "open":
      end.open(step.head, step.slow);
      return;
    case "poll":
      for (let time = 0; time < step.times; time++) pair.poll(end);
      return;
    case "deliver":
      for (let time = 0; time < step.times; time++) pair.deliver(end);
      return;
    default: {
      const talk = choose(end, step.pick);
      if (talk === undefined) return;
      if (step.do === "datagram") talk.stream.datagram(new Uint8Array(step.size));
      else act(talk, step);
    }
  }
}

function act(talk: Talk, step: Exclude<Extract<Step, { pick: number }>, { do: "datagram" }>): void {
  switch (step.do) {
    case "write":
      if (!talk.full) talk.write(step.size);
      return;
    case "head":
      talk.writeHead(step.size);
      return;
    case "take":
      talk.take(step.size);
      return;
    case "end":
      talk.writeEnd();
      return;
    case "left":
      talk.writeLeft();
      return;
    case "reset":
      talk.writeReset("cancelled");
      return;
    case "finish":
      talk.writeEnd();
      talk.writeReset("no-error");
  }
}

function choose(end: End, pick: number): Talk | undefined {
  const open = [...end.talks.values()].filter((talk) => !talk.stream.closed && !talk.deaf);
  return open[pick % Math.max(open.length, 1)];
}

/** All that is still open is ended and read to its end. */
export function windUp(pair: Pair): void {
  for (let round = 0; round < 400; round++) {
    pair.settle();
    if (!endAll(pair)) return;
  }
  throw new Error("streams do not come to an end although their readers read");
}

/** Whoever has a stream open ends it and reads on. false: nobody has. */
export function endAll(pair: Pair): boolean {
  const talks = pair.ends.flatMap((end) => [...end.talks.values()]).filter((talk) => !talk.stream.closed);
  for (const talk of talks) {
    talk.writeEnd();
    talk.take(40_000);
  }
  return talks.length > 0;
}

/** `heard` begins `said`: nothing is lost, added, or out of order in between. */
function begins(heard: Said[], said: Said[]): boolean {
  return heard.every(([kind, size], at) => {
    const [saidKind, saidSize] = said[at] ?? ["none", 0];
    if (kind !== saidKind) return false;
    return size === saidSize || (kind === "data" && at === heard.length - 1 && size < saidSize);
  });
}

function checkConversation(said: Talk, heard: Talk | undefined): void {
  if (heard === undefined) {
    // Its OPEN never left, or was refused.
    expect(said.deaf || said.heardReset !== undefined).toBe(true);
    return;
  }
  if (!begins(heard.heard, said.said))
    throw new Error(`${JSON.stringify(heard.heard)} is not how ${JSON.stringify(said.said)} begins`);
  const cut = said.heardReset !== undefined || heard.heardReset !== undefined || heard.deaf || said.deaf;
  // `no-error` is said behind all of it. A LEFT is discarded where both had ended before it.
  const whole = (list: Said[]) => list.filter(([kind]) => kind !== "left");
  const finished = said.finished && !heard.deaf;
  if (finished) expect(["no-error", undefined]).toContain(heard.heardReset);
  if (!cut || finished || heard.heardReset === "no-error")
    expect(whole(heard.heard)).toEqual(whole(said.said));
}

/** Both sides rest, hold nothing, and what one has said the other has heard. */
export function checkRest(pair: Pair): void {
  for (const end of pair.ends) {
    expect(end.inbox).toEqual([]);
    expect(end.session.openStreams).toBe(0);
    expect(end.oracle.streams.size).toBe(0);
    expect(end.memory.reservedBytes).toBe(0);
    expect(end.session.unacknowledgedBytes).toBe(0);
    expect(end.session.resting).toBe(true);
    expect(end.session.deadlineMs).toBeUndefined();
    expect(end.oracle.ackedByMe).toBe(end.oracle.received);
    const peer = pair.peerOf(end);
    for (const [id, talk] of end.talks) checkConversation(talk, peer.talks.get(id));
  }
}
