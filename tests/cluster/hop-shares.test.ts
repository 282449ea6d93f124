import { expect, test } from "bun:test";
import { HopShares } from "../../relay/cluster/hop-shares.ts";
import type { Kind } from "../../shared/kind.ts";
import { limits } from "../../shared/mux/limits.ts";
import type { Passage } from "../../shared/passage.ts";
import { ear } from "../shared/driver-bench.ts";
import { Cores } from "./cores.ts";

/** Two relays; the agents of blue and red are at B, and their visitors come to A. */
async function twoTunnels({ kind = "http" as Kind, memoryBytes = 2 ** 31 } = {}) {
  const cores = new Cores();
  const [a, b] = [
    cores.relay("aaaaaaaa", { memoryBytes }),
    cores.relay("bbbbbbbb", { memoryBytes: 2 ** 31 }),
  ];
  const taken = { blue: 0, red: 0 };
  await cores.until(() => a.cluster?.neighbours.isUp("bbbbbbbb") === true);
  for (const name of ["blue", "red"] as const) {
    const serves = () => {
      taken[name]++;
      return ear();
    };
    await cores.agent(b, serves, { name, kind });
    await cores.until(() => a.ways.tunnels.find(name)?.reaches(kind) === true);
  }
  const heard: string[] = [];
  const visit = (name: keyof typeof taken): Passage => cores.visit(a, ear(heard), { name, kind });
  return { ...{ cores, a, taken, heard, visit } };
}

test("visitors of one tunnel can't have all streams to a neighbour: those of others get through", async () => {
  const { cores, a, taken, heard, visit } = await twoTunnels();
  const visitors = Array.from({ length: limits.maxStreams }, () => visit("blue"));
  await cores.pass(50);
  const most = limits.maxStreams * 0.875;
  expect([taken, new Set(heard)]).toEqual([{ blue: most, red: 0 }, new Set(["reset too-many-streams"])]);
  visit("red");
  await cores.pass(10);
  expect([taken.red, heard.length]).toEqual([1, limits.maxStreams - most]);
  for (const visitor of visitors) visitor.cancel("cancelled");
  expect([a.cluster?.neighbours.hopsOf("blue"), a.cluster?.neighbours.hopsOf("red")]).toEqual([0, 1]);
});

test("who can wait does so until the tunnel has fewer", async () => {
  const { cores, taken, heard, visit } = await twoTunnels({ kind: "tcp" });
  const most = limits.maxStreams * 0.875;
  const [first] = Array.from({ length: most + 1 }, () => visit("blue"));
  visit("red");
  await cores.pass(1_000);
  expect([taken, heard.length]).toEqual([{ blue: most, red: 1 }, 0]);
  first?.cancel("cancelled");
  await cores.until(() => taken.blue > most, 1_000);
  expect(heard.length).toBe(0);
});

test("nor can they have all memory of the relay that they come to", async () => {
  const windows = 64;
  const { cores, taken, heard, visit } = await twoTunnels({
    memoryBytes: 2 * windows * limits.initialWindowBytes,
  });
  for (let visits = 0; visits < windows; visits++) visit("blue");
  await cores.pass(10);
  expect(new Set(heard)).toEqual(new Set(["reset too-many-streams"]));
  visit("red");
  await cores.pass(10);
  expect(taken.red).toBe(1);
});

test("each of several tunnels that want all leaves something for one more, whatever else a session carries", () => {
  for (const links of [0, limits.maxStreams / 2]) {
    const shares = new HopShares();
    const tunnels = ["a", "b", "c"];
    let free = limits.maxStreams - links;
    for (let isMore = true; isMore; ) {
      isMore = false;
      for (const tunnel of tunnels) {
        if (shares.isFull(tunnel, "neighbour", free)) continue;
        shares.add(tunnel, "neighbour");
        free--;
        isMore = true;
      }
    }
    expect(free).toBeGreaterThan((limits.maxStreams - links) / 25);
    expect(shares.isFull("d", "neighbour", free)).toBe(false);
    expect(shares.isFull("a", "another", 1)).toBe(false);
    const each = tunnels.map((tunnel) => shares.of(tunnel));
    expect(Math.max(...each) - Math.min(...each)).toBeLessThanOrEqual(1);
    for (let i = 0; i < (each[0] ?? 0); i++) shares.remove("a", "neighbour");
    expect(shares.of("a")).toBe(0);
  }
});
