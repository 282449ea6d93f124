import { join } from "node:path";
import type { Child } from "../child.ts";
import type { IdleOptions } from "../programs/idle-tunnels.ts";
import type { Crew } from "./crew.ts";
import type { Relay } from "./relay.ts";

/** A relay grants one owner 10,000. */
const namesPerOwner = 5_000;
const readyWithinMs = 300_000;

export interface IdleTunnels {
  readonly child: Child;
  /** From the first dial to the last tunnel. */
  readonly seconds: number;
}

/** One process with many tunnels, one link each, that nobody visits (programs/idle-tunnels.ts). */
export async function startIdleTunnels(crew: Crew, relay: Relay, count: number): Promise<IdleTunnels> {
  const tokens: string[] = [];
  for (let owner = 0; owner < count / namesPerOwner; owner++) tokens.push(await relay.token(`idle-${owner}`));
  return startMany(crew, "idle-tunnels.ts", { relay: relay.url, tokens, namesPerOwner, count });
}

/** The yardstick: as many bare WebSockets to a bare server (programs/bare-sockets.ts). */
export function startBareSockets(crew: Crew, url: string, count: number): Promise<IdleTunnels> {
  return startMany(crew, "bare-sockets.ts", { relay: url, tokens: [], namesPerOwner, count });
}

async function startMany(crew: Crew, file: string, options: IdleOptions): Promise<IdleTunnels> {
  const program = join(import.meta.dir, "../programs", file);
  // Tokens go by the environment: a command line is visible to others.
  const child = crew.start([process.execPath, program], { env: { BENCH_IDLE: JSON.stringify(options) } });
  const seconds = await child.line((line) => Number(line), readyWithinMs);
  return { child, seconds };
}
