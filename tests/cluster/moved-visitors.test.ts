import { expect, test } from "bun:test";
import { holdLimits } from "../../shared/hold.ts";
import { ear } from "../shared/driver-bench.ts";
import { Cores, Road } from "./cores.ts";

const answers = (heard: string[]) => (stream: { head(fields: Uint8Array): void; end(): void }) => {
  heard.push("OPEN");
  stream.head(new Uint8Array(0));
  stream.end();
  return ear();
};

/** A visitor came to A, and waits at B, whose agent has lost its way there. */
async function waiting() {
  const cores = new Cores();
  const [a, b, c] = ["aaaaaaaa", "bbbbbbbb", "cccccccc"].map((id) => cores.relay(id));
  if (a === undefined || b === undefined || c === undefined) throw new Error("three are there");
  const all = [a, b, c];
  await cores.until(() => all.every(({ cluster }) => cluster?.neighbours.links === 2));
  const [road, opened, heard] = [new Road(), [] as string[], [] as string[]];
  await cores.agent(b, answers(opened), { road });
  await cores.until(() => a.ways.tunnels.find("blue")?.reaches("http") === true);
  road.cut();
  cores.visit(a, ear(heard)).sendEnd();
  await cores.until(() => b.ways.hold.waiting === 1);
  await cores.pass(1_000);
  expect([heard, opened, a.ways.hold.waiting]).toEqual([[], [], 0]);
  return { cores, a, b, c, road, opened, heard };
}

for (const where of ["a", "c"] as const)
  test(`a visitor who waits at a neighbour goes to where an agent comes first: ${where}`, async () => {
    const { cores, b, opened, heard, ...relays } = await waiting();
    const there = relays[where];
    const { sessions } = there.ways.metrics;
    await cores.agent(there, answers(opened), { index: 1 });
    await cores.until(() => there.ways.metrics.sessions > sessions);
    await cores.pass(50);
    expect([heard, opened, b.ways.hold.waiting]).toEqual([["head", "end"], ["OPEN"], 0]);
  });

test("one who waits where the agent comes back stays", async () => {
  const { cores, b, road, opened, heard } = await waiting();
  road.isCut = false;
  await cores.until(() => heard.length > 0, 1_000);
  expect([heard, opened, b.cluster?.hops.open]).toEqual([["head", "end"], ["OPEN"], 0]);
});

test("and where it comes nowhere, he is told in time", async () => {
  const { cores, heard } = await waiting();
  await cores.pass(holdLimits.holdMs);
  expect(heard).toEqual(["reset agent-offline"]);
});
