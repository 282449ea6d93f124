import manifest from "../../package.json" with { type: "json" };
import { codes, UnderpassError } from "../../shared/errors.ts";
import { CommandLine } from "../command/command-line.ts";
import { type AgentCommand, type AgentOptions, checkOptions } from "../command/options.ts";
import { compose } from "../compose/compose.ts";
import { proxiedTarget } from "../compose/compose-agent.ts";
import type { Running } from "../compose/running.ts";
import { ConfigError } from "../config/config.ts";
import { chooseProxy } from "../dial/proxy-environment.ts";
import type { FleetEvent } from "../fleet/event.ts";
import { eventLine } from "../screen/events.ts";
import { visible } from "../screen/screen-text.ts";
import { bunPlatform } from "./bun.ts";
import { checkConfig, composeStart } from "./bun-start.ts";
import { chooseFace, type Face } from "./faces.ts";

/** What open exchanges get to finish in after SIGINT or SIGTERM; a second SIGINT ends at once. */
const graceMs = 5_000;

/** What is said on the way out needs a moment to leave. */
const lastWordsMs = 20;

/** Runs the agent as a program: switches, terminal, signals. Resolves with the exit code. */
export async function runProgram(): Promise<number> {
  let options: AgentOptions;
  try {
    const line = new CommandLine(process.argv.slice(2), process.env, manifest.version);
    if (line.print !== undefined) {
      process.stdout.write(line.print);
      return 0;
    }
    options = checkOptions(line);
    if (options.command.command === "config-check") return await checkConfig(options.command, options.face);
  } catch (error) {
    return refuse(error);
  }
  return await runAgent(options);
}

async function runAgent(options: AgentOptions): Promise<number> {
  const { command } = options;
  const stop = Promise.withResolvers<void>();
  let signals = 0;
  let abandon = (): void => {};
  const interrupt = (): void => {
    if (++signals > 1) {
      // What is said to the relay now is the last: nobody waits for streams that will not go on.
      abandon();
      setTimeout(() => endNow(0), lastWordsMs);
    }
    stop.resolve();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", () => stop.resolve());
  let hungUp = (): void => stop.resolve();
  process.on("SIGHUP", () => hungUp());

  let face: Face | undefined;
  const early: FleetEvent[] = [];
  const show = (event: FleetEvent): void => void (face === undefined ? early.push(event) : face.show(event));
  const warnings = [...options.face.warnings];
  let composed: Running;
  try {
    composed = await composeAny(command, {
      onEvent: show,
      onBlockedHost: (tunnel) => face?.blockedHost(tunnel),
      onHangUp: (reload) => {
        hungUp = reload;
      },
      onWarning: (text) => void (face === undefined ? warnings.push(text) : face.warn(text)),
    });
  } catch (error) {
    if (options.face.json && error instanceof UnderpassError) {
      const { code, message } = error;
      const stream = takesStdout(command) ? process.stderr : process.stdout;
      stream.write(eventLine({ event: "error", code, message, fatal: true }));
    }
    return refuse(error);
  }
  abandon = () => composed.abandon();
  face = await chooseFace(options.face, {
    relay: relayOf(command),
    stdoutTaken: takesStdout(command),
    interrupt,
    readerGone: () => stop.resolve(),
  });
  for (const warning of warnings) face.warn(warning);
  for (const event of early) face.show(event);
  composed.start();
  // What has ended by itself, in order or not, needs no grace.
  const stopped = await Promise.race([
    composed.ended.then((reason) => ({ reason })),
    stop.promise.then(() => undefined),
  ]);
  if (stopped === undefined) face.stopping(composed.openStreams);
  await composed.stop(stopped === undefined ? graceMs : 0);
  await face.close();
  return stopped?.reason === undefined ? 0 : exitCode(stopped.reason);
}

interface Listeners {
  readonly onEvent: (event: FleetEvent) => void;
  readonly onBlockedHost: (tunnel?: string) => void;
  /** From now on SIGHUP is to do this, rather than to stop. */
  readonly onHangUp: (reload: () => void) => void;
  readonly onWarning: (text: string) => void;
}

async function composeAny(command: AgentCommand, on: Listeners): Promise<Running> {
  const surroundings = { platform: bunPlatform, version: manifest.version, onEvent: on.onEvent };
  if (command.command === "config-check") throw new UnderpassError("usage");
  if (command.command === "start") return await composeStart(command, { ...surroundings, ...on });
  return await compose({ ...surroundings, command, onBlockedHost: () => on.onBlockedHost() });
}

function takesStdout(command: AgentCommand): boolean {
  return command.command === "connect" && command.from === "stdio";
}

/** For people. */
function relayOf(command: AgentCommand): string | undefined {
  if (!("link" in command)) return undefined;
  const [text] = command.link.relays ?? [];
  if (text === undefined) return undefined;
  const relay = new URL(text);
  const proxy = chooseProxy(proxiedTarget(relay), process.env);
  return proxy === undefined ? relay.origin : `${relay.origin}, by way of the proxy in ${proxy.variable}`;
}

function exitCode({ code, fatal }: UnderpassError): number {
  const { exit, wire } = codes[code];
  // What is at the far end of `connect --stdio`, while the link may be well.
  const isOfStream = wire !== undefined && wire < 32 && code !== "link-lost";
  return fatal || isOfStream ? (exit ?? 1) : (codes["relay-unreachable"].exit ?? 5);
}

function refuse(error: unknown): number {
  if (!(error instanceof UnderpassError)) throw error;
  // A file's lines begin as editors want them, so that they find the place.
  const lines = error instanceof ConfigError ? error.problems : [`underpass: ${error.message}`];
  process.stderr.write(lines.map((line) => `${visible(line)}\n`).join(""));
  return codes[error.code].exit ?? 1;
}

function endNow(code: number): never {
  if (process.stdin.isTTY) process.stdin.setRawMode(false);
  process.exit(code);
}
