import { join } from "node:path";
import { Program, type ProgramOptions } from "./program.ts";
import { projectRoot } from "./relay.ts";

/** The agent with these arguments: `bun agent.ts`, or the binary that UNDERPASS_TEST_AGENT names. */
export function agentProgram(args: readonly string[], options: ProgramOptions = {}): Program {
  return new Program(agentCommand(args), options);
}

export function agentCommand(args: readonly string[]): string[] {
  const binary = process.env["UNDERPASS_TEST_AGENT"];
  return [...(binary ? [binary] : [process.execPath, join(projectRoot, "agent.ts")]), ...args];
}
