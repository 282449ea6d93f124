import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClusterFigures } from "../../relay/cluster/cluster-figures.ts";
import { switchValue } from "../blackbox/programs/deno-permissions.ts";
import { freePort } from "../blackbox/programs/free-port.ts";
import { minterOf } from "../blackbox/programs/mint.ts";
import { listeningRelay, type Relay, type RelayOptions, relayProgram } from "../blackbox/programs/relay.ts";
import { within } from "../blackbox/programs/within.ts";
import { NatsServer } from "./nats-server.ts";

/** Where agents go, and where visitors go: the same ports on two addresses, so that either may name what is public. */
const agentsHost = "127.0.0.2";
const visitorsHost = "127.0.0.1";

const waitLimitMs = 20_000;
const lookEveryMs = 10;

/** One for all the clusters of this process, which have names of their own. It ends with the process. */
let nats: Promise<NatsServer> | undefined;

/**
 * Two relays that share only the bus, with the face of one: agents come to the first (`url`), visitors to the second
 * (`port`, `program`). Started again with the same `data`, they are the same cluster.
 */
export async function startTwoRelays(options: RelayOptions): Promise<Relay> {
  const server = await (nats ??= NatsServer.start());
  const data = options.data ?? (await mkdtemp(join(tmpdir(), "underpass-two-")));
  const domain = options.domain ?? "localhost";
  const args = await withPorts(options.args ?? []);
  const secretFile = switchValue(args, "--secret-file") ?? (await secretIn(data));
  const start = async (host: string, port: number): Promise<Relay> => {
    const own = join(data, host);
    await mkdir(own, { recursive: true });
    const given = [
      ...["--json", "--listen", `${host}:${port}`, "--data", own, "--domain", domain],
      ...["--secret-file", secretFile, "--cluster", server.url, "--cluster-name", clusterOf(data)],
      ...args.map((arg) => arg.replace(visitorsHost, host)),
    ];
    const net = options.net === "any" ? "any" : [...(options.net ?? []), agentsHost];
    return listeningRelay(relayProgram(given, { ...options, net }), { data: own, domain, isKept: true });
  };
  const visitors = await start(visitorsHost, options.port ?? 0);
  const agents = await start(agentsHost, visitors.port).catch(async (error: unknown) => {
    await visitors.kill();
    throw error;
  });
  const end = async (how: "stop" | "kill") => {
    await Promise.all([agents[how](), visitors[how]()]);
    if (options.data === undefined) await rm(data, { recursive: true, force: true });
  };
  const mint = minterOf(await readFile(secretFile, "utf8"));
  const admin = await mint({ admin: true });
  await Promise.all([agents, visitors].map(({ url }) => acquainted(url, admin)));
  return {
    // Who logs agents; what its visitors are told is the other's.
    ...agents,
    ...{ port: visitors.port, data },
    token: mint,
    stop: () => end("stop"),
    kill: () => end("kill"),
  };
}

/** There is a link to the other. */
async function acquainted(url: string, admin: string): Promise<void> {
  const look = async (): Promise<void> => {
    for (;;) {
      // Behind what --public-url names, an address proves nothing.
      const headers = { authorization: `Bearer ${admin}` };
      const answer = await fetch(`${url}/_underpass/api/cluster`, { headers });
      const { nodes } = (await answer.json()) as ClusterFigures;
      if (nodes.some(({ link }) => link === "bus")) return;
      await Bun.sleep(lookEveryMs);
    }
  };
  await within(look(), waitLimitMs, () => `the other relay of ${url}`);
}

/** Folders that are told apart by case alone are two. */
function clusterOf(data: string): string {
  return createHash("sha256").update(data).digest("hex").slice(0, 16);
}

/** What is said with port 0 has to be the same on both. */
async function withPorts(args: readonly string[]): Promise<readonly string[]> {
  const port = args.some((arg) => arg.endsWith(":0")) ? await freePort() : 0;
  return args.map((arg) => arg.replace(/:0$/, `:${port}`));
}

async function secretIn(data: string): Promise<string> {
  const path = join(data, "secret");
  if (!existsSync(path)) await writeFile(path, randomBytes(32).toString("base64url"), { mode: 0o600 });
  return path;
}
