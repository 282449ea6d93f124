import { expect, test } from "bun:test";
import type { Session } from "../../shared/mux/session.ts";
import { Stream } from "../../shared/mux/stream.ts";
import { ear } from "../shared/driver-bench.ts";
import { Cores } from "./cores.ts";

/** Two relays, and an agent at B that A's visitors find. */
async function twoRelays() {
  const cores = new Cores();
  const [a, b] = [cores.relay("aaaaaaaa"), cores.relay("bbbbbbbb")];
  const opened: string[] = [];
  const { cluster } = a;
  if (cluster === undefined) throw new Error("no cluster");
  await cores.until(() => cluster.neighbours.isUp("bbbbbbbb"));
  await cores.agent(b, () => {
    opened.push("OPEN");
    return ear();
  });
  await cores.until(() => a.ways.tunnels.find("blue")?.reaches("http") === true);
  return { cores, a, b, cluster, opened };
}

test("a neighbour that was taken for dead is met again at once, however often its links broke before", async () => {
  const { cores, b, cluster } = await twoRelays();
  for (let breaks = 0; breaks < 20; breaks++) {
    for (const bus of cores.network.ends) bus.cut(true);
    for (const bus of cores.network.ends) bus.cut(false);
    await cores.until(() => cluster.neighbours.isUp("bbbbbbbb"));
  }
  const facts = cluster.nodes.facts("bbbbbbbb");
  if (facts === undefined) throw new Error("it is not known");
  for (const bus of cores.network.ends) bus.cut(true);
  cluster.nodes.onDead("bbbbbbbb");
  for (const bus of cores.network.ends) bus.cut(false);
  cluster.nodes.onAlive(facts);
  await cores.until(() => cluster.neighbours.isUp("bbbbbbbb"), 1_000);
  expect(b.ways.metrics.sessions).toBe(2);
});

test("a session whose ids are used up makes room for another, and finishes what is open", async () => {
  const { cores, a, opened } = await twoRelays();
  const heard: string[] = [];
  const first = cores.visit(a, ear(heard));
  await cores.until(() => opened.length === 1);
  const session = first.stream?.["host"] as Session;
  session["streams"].add(new Stream(session, 2 ** 32 - 1, 1, ear(), 0, 0, 0));
  cores.visit(a, ear(heard));
  await cores.until(() => opened.length === 2, 1_000);
  await cores.pass(1_000);
  expect(heard).toEqual([]);
});
