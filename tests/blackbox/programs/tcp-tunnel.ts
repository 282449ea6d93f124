import { agentProgram } from "./agent.ts";
import { freePorts } from "./free-port.ts";
import type { Program } from "./program.ts";
import { type Relay, startRelay } from "./relay.ts";

const portCount = 20;

/** A relay with public ports for tcp and udp. */
export async function startPortRelay(
  args: readonly string[] = [],
): Promise<Relay & { readonly ports: readonly [number, number] }> {
  const low = await freePorts(portCount);
  const range = `${low}-${low + portCount - 1}`;
  const relay = await startRelay({ args: ["--tcp-ports", range, "--udp-ports", range, ...args] });
  return { ...relay, ports: [low, low + portCount - 1] };
}

/** An agent with these arguments, and what its first `ready` says. */
export async function startAgentOf(
  relay: { readonly url: string },
  token: string,
  args: readonly string[],
): Promise<{ readonly program: Program; readonly url: URL; readonly name: string }> {
  const program = agentProgram([...args, "--relay", relay.url, "--json"], {
    env: { UNDERPASS_TOKEN: token },
  });
  try {
    const ready = await program.event("ready");
    return { program, url: new URL(String(ready["url"])), name: String(ready["name"]) };
  } catch (error) {
    await program.kill();
    throw error;
  }
}
