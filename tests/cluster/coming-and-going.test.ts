import { expect, test } from "bun:test";
import { limits } from "../../shared/mux/limits.ts";
import { ear } from "../shared/driver-bench.ts";
import { Cores } from "./cores.ts";

test("visitors who come and go all the time cost no other visitor of a neighbour his stream", async () => {
  const cores = new Cores();
  const [a, b] = [cores.relay("aaaaaaaa"), cores.relay("bbbbbbbb")];
  await cores.until(() => a.cluster?.neighbours.isUp("bbbbbbbb") === true);
  await cores.agent(b, () => ear());
  await cores.until(() => a.ways.tunnels.find("blue")?.reaches("http") === true);
  const other: string[] = [];
  cores.visit(a, ear(other));
  await cores.pass(5);
  for (let visits = 0; visits < limits.resetBurst + 2_000; ) {
    const batch = Array.from({ length: 1_000 }, () => cores.visit(a, ear()));
    await cores.pass(2);
    for (const visitor of batch) visitor.cancel("cancelled");
    await cores.pass(2);
    visits += batch.length;
  }
  expect(other).toEqual([]);
  expect(b.cluster?.hops.open).toBe(1);
});

test("one tunnel's visitors from neighbours leave room for those of others", async () => {
  const cores = new Cores();
  const [a, b] = [cores.relay("aaaaaaaa"), cores.relay("bbbbbbbb", { memoryBytes: 2 ** 23 })];
  await cores.until(() => a.cluster?.neighbours.isUp("bbbbbbbb") === true);
  await cores.agent(b, () => ear());
  await cores.until(() => a.ways.tunnels.find("blue")?.reaches("http") === true);
  const heard: string[] = [];
  const windows = 2 ** 22 / limits.initialWindowBytes;
  for (let visits = 0; visits < windows; visits++) {
    cores.visit(a, ear(heard));
    await cores.pass(2);
  }
  const { memory } = b.ways;
  expect(new Set(heard)).toEqual(new Set(["reset too-many-streams"]));
  expect(memory.admit(2 * limits.initialWindowBytes)).toBe(true);
});
