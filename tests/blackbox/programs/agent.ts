import { join } from "node:path";
import { nginxBinary } from "./nginx-proxy.ts";
import { Program, type ProgramOptions } from "./program.ts";
import { projectRoot } from "./relay.ts";

/** How agents reach their relay: straight, or through an nginx that takes upgrades away. */
const way = process.env["UNDERPASS_TEST_WAY"];

/** The agent with these arguments: `bun agent.ts`, or the binary that UNDERPASS_TEST_AGENT names. */
export function agentProgram(args: readonly string[], options: ProgramOptions = {}): Program {
  if (way !== "nginx") return new Program(agentCommand(args), options);
  const script = join(projectRoot, "tests/blackbox/programs/agent-behind-nginx.sh");
  return new Program(["/bin/sh", script, ...agentCommand(args)], {
    ...options,
    env: { ...options.env, UNDERPASS_TEST_NGINX: nginxBinary ?? "nginx" },
  });
}

export function agentCommand(args: readonly string[]): string[] {
  const binary = process.env["UNDERPASS_TEST_AGENT"];
  return [...(binary ? [binary] : [process.execPath, join(projectRoot, "agent.ts")]), ...args];
}
