import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { NatsServer, natsServerPath } from "../../tests/cluster/nats-server.ts";
import type { Contender, Course, Targets } from "./contender.ts";
import { Crew } from "./crew.ts";
import { type Relay, startAgent, startRelay } from "./relay.ts";
import { targetsOf } from "./targets.ts";

/** Two relays of one cluster, an agent at the first, visitors at either. */
interface Variant {
  readonly name: string;
  readonly about: string;
  /** The relay that visitors come to: the agent's, or the other. */
  readonly entry: "same" | "other";
  readonly neighbours: "direct" | "bus";
}

const knownWithinMs = 10_000;

export const hops: readonly Contender[] = [
  contender({
    name: "local",
    about: "a relay of a cluster of two, which has the agent itself",
    entry: "same",
    neighbours: "direct",
  }),
  contender({
    name: "hop",
    about: "the other relay, which reaches the agent's directly (--advertise)",
    entry: "other",
    neighbours: "direct",
  }),
  contender({
    name: "hop-nats",
    about: "the other relay, which reaches the agent's over NATS alone",
    entry: "other",
    neighbours: "bus",
  }),
];

function contender({ name, about, ...variant }: Variant): Contender {
  return {
    name,
    about,
    ways: ["web", "sink"],
    absent: async () => (natsServerPath === undefined ? "nats-server is not installed" : undefined),
    async start(course) {
      await using cleanup = new AsyncDisposableStack();
      const nats = await NatsServer.start();
      cleanup.defer(() => nats.close());
      const crew = await Crew.gather("cluster");
      cleanup.defer(() => crew.stop());
      const targets = await open(crew, course, { ...variant, nats });
      const all = cleanup.move();
      return { targets, stop: () => all.disposeAsync() };
    },
  };
}

async function open(
  crew: Crew,
  { site, origins, ways }: Course,
  { entry, neighbours, nats }: Pick<Variant, "entry" | "neighbours"> & { readonly nats: NatsServer },
): Promise<Targets> {
  const args = [
    ...(await clusterArgs(crew, nats, "bench")),
    ...(neighbours === "direct" ? ["--advertise", `http://${site.publicHost}:0`] : []),
  ];
  const agents = await startRelay(crew, site, args);
  const other = await startRelay(crew, site, args);
  const visitors = entry === "same" ? agents : other;
  const targets = await targetsOf(ways, async (way) => {
    // One link: with a second there would be a session at the other relay, too.
    const wish = ["http", String(origins.of(way).port), "--name", way, "--links", "1"];
    const agent = await startAgent(crew, site, agents, wish);
    return {
      ...{ host: site.publicHost, port: visitors.port, authority: `${way}.localhost` },
      processes: [
        { role: "relay of the agent", pid: agents.child.pid },
        { role: "other relay", pid: other.child.pid },
        { role: "agent", pid: agent.pid },
      ],
    };
  });
  await namesKnown(visitors, ways.length, knownWithinMs);
  return targets;
}

/** What a relay is one of this cluster by. */
export async function clusterArgs(crew: Crew, nats: NatsServer, name: string): Promise<string[]> {
  const secretFile = join(crew.folder, "secret");
  // The one that tokens are signed with, where a relay has made none.
  if (!existsSync(secretFile)) await crew.file("secret", randomBytes(32).toString("base64url"));
  return ["--secret-file", secretFile, "--cluster", nats.url, "--cluster-name", name];
}

/** Resolves with the ms since `performance.now()` began, once this relay knows so many names of its cluster. */
export async function namesKnown(
  relay: Pick<Relay, "url">,
  count: number,
  withinMs: number,
): Promise<number> {
  const untilMs = performance.now() + withinMs;
  for (;;) {
    const answer = await fetch(`${relay.url}/_underpass/api/cluster`, { headers: { connection: "close" } });
    const { names } = (await answer.json()) as { readonly names: number };
    if (names >= count) return performance.now();
    if (performance.now() > untilMs) throw new Error(`${names} of ${count} names are known`);
    await Bun.sleep(5);
  }
}
