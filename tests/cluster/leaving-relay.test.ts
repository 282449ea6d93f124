import { expect, test } from "bun:test";
import type { StreamHandler } from "../../shared/mux/stream.ts";
import type { Passage } from "../../shared/passage.ts";
import { ear } from "../shared/driver-bench.ts";
import { Cores, type Serves } from "./cores.ts";

/** More than a stream's first window, and less than what a hop takes in beside it. */
const bytes = 120_000;
const graceMs = 30_000;

const answers: Serves = (stream) => {
  stream.head(new Uint8Array(0));
  for (let left = bytes; left > 0; left -= 40_000) stream.write(new Uint8Array(40_000));
  stream.end();
  return ear();
};

/** A visitor at A, whose agent is at B, does not read: the rest of the answer waits for him at B, which leaves. */
async function slowVisit() {
  const cores = new Cores();
  const [a, b] = [cores.relay("aaaaaaaa"), cores.relay("bbbbbbbb")];
  const seen = { heard: 0, end: "", left: false };
  await cores.until(() => a.cluster?.neighbours.isUp("bbbbbbbb") === true);
  await cores.agent(b, answers);
  await cores.until(() => a.ways.tunnels.find("blue")?.reaches("http") === true);
  const handler: StreamHandler = {
    ...ear(),
    data(piece) {
      seen.heard += piece.length;
      visitor.stream?.held(seen.heard);
    },
    end: () => {
      seen.end = "whole";
    },
    reset: (code) => {
      seen.end = code;
    },
  };
  const visitor: Passage = cores.visit(a, handler);
  visitor.sendEnd();
  await cores.until(() => seen.heard > 0 && b.cluster?.hops.open === 0);
  void b
    .drain(graceMs, async () => {})
    .then(() => {
      seen.left = true;
    });
  await cores.pass(8_000);
  return {
    ...{ cores, a, b, seen },
    async readsOn(): Promise<void> {
      for (let looks = 0; looks < 100 && seen.end === ""; looks++) {
        visitor.stream?.held(0);
        await cores.pass(10);
      }
    },
  };
}

test("a relay that leaves waits for visitors of neighbours who read slowly", async () => {
  const { cores, seen, readsOn } = await slowVisit();
  await readsOn();
  expect(seen).toEqual({ heard: bytes, end: "whole", left: false });
  await cores.until(() => seen.left, 1_000);
});

test("but for no longer than its grace", async () => {
  const { cores, seen } = await slowVisit();
  await cores.pass(graceMs);
  expect(seen).toMatchObject({ end: "goodbye", left: true });
});

test("what is open at a relay that has taken its leave goes on, though it is taken for dead", async () => {
  const { a, seen, readsOn } = await slowVisit();
  a.cluster?.nodes.onDead("bbbbbbbb");
  await readsOn();
  expect(seen).toMatchObject({ heard: bytes, end: "whole" });
});

test("a relay that has taken its leave is not taken for dead while there is a link to it", async () => {
  const { a, b, cores, seen, readsOn } = await slowVisit();
  cores.board.remove("bbbbbbbb");
  await cores.pass(1_500);
  expect(a.cluster?.nodes.isAlive("bbbbbbbb")).toBe(true);
  await readsOn();
  expect(seen).toMatchObject({ heard: bytes, end: "whole" });
  expect(b.cluster?.isClosed).toBe(true);
});

test("a neighbour whose link breaks resumes its session at a relay that leaves", async () => {
  const { cores, seen, readsOn } = await slowVisit();
  for (const isCut of [true, false]) {
    for (const bus of cores.network.ends) bus.cut(isCut);
    await cores.pass(isCut ? 50 : 3_000);
  }
  await readsOn();
  expect(seen).toMatchObject({ heard: bytes, end: "whole" });
});

test("what a relay's visitors have open at agents of others ends when it is dead", async () => {
  const cores = new Cores();
  const [a, b] = [cores.relay("aaaaaaaa"), cores.relay("bbbbbbbb")];
  const heard: string[] = [];
  await cores.until(() => a.cluster?.neighbours.isUp("bbbbbbbb") === true);
  await cores.agent(b, () => ear(heard));
  await cores.until(() => a.ways.tunnels.find("blue")?.reaches("http") === true);
  cores.visit(a, ear());
  await cores.until(() => b.cluster?.hops.open === 1);
  for (const bus of cores.network.ends) bus.cut(true);
  await cores.pass(50);
  cores.board.remove("aaaaaaaa");
  await cores.pass(50);
  expect([heard, b.cluster?.hops.open]).toEqual([["reset link-lost"], 0]);
});
