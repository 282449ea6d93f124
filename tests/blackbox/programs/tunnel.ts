import type { Target } from "../raw/visitor.ts";
import { agentProgram } from "./agent.ts";
import type { Program } from "./program.ts";
import { type Relay, type RelayOptions, startRelay } from "./relay.ts";

export interface TunnelOptions {
  /** The origin's port, or its URL. */
  readonly origin: number | string;
  readonly name?: string;
  readonly agentArgs?: readonly string[];
  readonly relay?: RelayOptions;
}

/** A relay and an agent, ready for visitors. */
export interface Tunnel {
  readonly relay: Relay;
  readonly agent: Program;
  readonly name: string;
  readonly target: Target;
  readonly token: string;
  close(): Promise<void>;
}

export async function startTunnel(options: TunnelOptions): Promise<Tunnel> {
  const name = options.name ?? "blue";
  const relay = await startRelay(options.relay);
  const token = await relay.token();
  const agent = await startAgent(relay, {
    origin: options.origin,
    name,
    token,
    args: options.agentArgs ?? [],
  });
  return {
    relay,
    agent,
    name,
    token,
    target: { port: relay.port, host: relay.hostFor(name) },
    close: async () => {
      await agent.kill();
      await relay.kill();
    },
  };
}

export interface AgentOptions {
  readonly origin: number | string;
  readonly name: string;
  readonly token: string;
  readonly args?: readonly string[];
}

/** An agent for a relay that runs already, once it is ready. */
export async function startAgent(relay: Relay, options: AgentOptions): Promise<Program> {
  const args = [
    "http",
    String(options.origin),
    "--relay",
    relay.url,
    "--name",
    options.name,
    "--json",
    ...(options.args ?? []),
  ];
  const agent = agentProgram(args, { env: { UNDERPASS_TOKEN: options.token } });
  try {
    await agent.event("ready");
  } catch (error) {
    await agent.kill();
    throw error;
  }
  return agent;
}
