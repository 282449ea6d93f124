import { join } from "node:path";
import { Program } from "../blackbox/programs/program.ts";
import { projectRoot } from "../blackbox/programs/relay.ts";
import type { AgentsOptions } from "./programs/agents.ts";

/** Many agents in one process; once all of their tunnels are up. */
export async function startAgents(options: AgentsOptions): Promise<Program> {
  const program = new Program([process.execPath, join(projectRoot, "tests/cluster/programs/agents.ts")], {
    env: { AGENTS: JSON.stringify(options) },
  });
  try {
    await program.event("all-ready");
    return program;
  } catch (error) {
    await program.kill();
    throw error;
  }
}
