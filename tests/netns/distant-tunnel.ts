import { agentCommand } from "../blackbox/programs/agent.ts";
import { Program } from "../blackbox/programs/program.ts";
import { projectRoot, type Relay, startRelay } from "../blackbox/programs/relay.ts";
import type { Target } from "../blackbox/raw/visitor.ts";
import { WideArea, type WideAreaOptions } from "./wide-area.ts";

/** A tunnel over a wide area: the relay and its visitors here, the agent and its origin (programs/origin.ts) on the far host. */
export interface DistantTunnel {
  readonly area: WideArea;
  readonly relay: Relay;
  readonly agent: Program;
  /** Of visitors of the tunnel. */
  readonly target: Target;
  /** Of the origin, on the far host. */
  readonly originPort: number;
  [Symbol.asyncDispose](): Promise<void>;
}

const name = "distant";

/** For a script that `runInside` has started. */
export async function startDistantTunnel(options: WideAreaOptions): Promise<DistantTunnel> {
  await using cleanup = new AsyncDisposableStack();
  const area = cleanup.use(await WideArea.build(options));
  const origin = new Program(
    area.far.command(process.execPath, `${projectRoot}/tests/netns/programs/origin.ts`),
  );
  cleanup.defer(() => origin.kill());
  const originPort = Number((await origin.event("listening"))["port"]);
  const relay = await startRelay({ args: ["--listen", "0.0.0.0:0"] });
  cleanup.defer(() => relay.kill());
  const agent = new Program(
    area.far.command(
      ...agentCommand([
        ...["http", String(originPort), "--name", name, "--json", "--insecure"],
        ...["--relay", `http://${WideArea.nearAddress}:${relay.port}`],
      ]),
    ),
    { env: { UNDERPASS_TOKEN: await relay.token() } },
  );
  cleanup.defer(() => agent.kill());
  await agent.event("ready");
  const target = { port: relay.port, host: relay.hostFor(name) };
  const all = cleanup.move();
  return { area, relay, agent, target, originPort, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
