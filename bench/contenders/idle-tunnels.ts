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

/** Starts one process with so many tunnels, or sockets, that nobody visits. */
export type StartIdle = (count: number) => Promise<IdleTunnels>;

/**
 * Tunnels of one link each: of the real agent (programs/idle-tunnels.ts), or, `by: "dialler"`, of a program that only
 * dials and says HELLO (programs/idle-links.ts).
 */
export function idleTunnels(
  crew: Crew,
  relay: Relay,
  { by }: { readonly by: "agent" | "dialler" },
): StartIdle {
  let process = 0;
  return async (count) => {
    const prefix = `idle-${by}-${process++}`;
    const tokens: string[] = [];
    for (let owner = 0; owner < count / namesPerOwner; owner++)
      tokens.push(await relay.token(`${prefix}-${owner}`));
    const file = by === "agent" ? "idle-tunnels.ts" : "idle-links.ts";
    return startMany(crew, file, { relay: relay.url, tokens, namesPerOwner, count, prefix });
  };
}

/** The yardstick: as many bare WebSockets to a bare server, dialled by the same program. */
export function bareSockets(crew: Crew, url: string): StartIdle {
  return (count) =>
    startMany(crew, "idle-links.ts", { relay: url, tokens: [], namesPerOwner, count, prefix: "" });
}

async function startMany(crew: Crew, file: string, options: IdleOptions): Promise<IdleTunnels> {
  const program = join(import.meta.dir, "../programs", file);
  // Tokens go by the environment: a command line is visible to others.
  const child = crew.start([process.execPath, program], { env: { BENCH_IDLE: JSON.stringify(options) } });
  const seconds = await child.line((line) => Number(line), readyWithinMs);
  return { child, seconds };
}
