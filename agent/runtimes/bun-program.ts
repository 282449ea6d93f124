import manifest from "../../package.json" with { type: "json" };
import { codes, UnderpassError } from "../../shared/errors.ts";
import { CommandLine } from "../command-line.ts";
import { type Composed, compose } from "../compose.ts";
import { type AgentEvent, eventLine } from "../events.ts";
import { type AgentOptions, checkOptions } from "../options.ts";
import { visible } from "../screen.ts";
import { bunPlatform } from "./bun.ts";
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
  } catch (error) {
    return refuse(error);
  }
  return await runAgent(options);
}

async function runAgent(options: AgentOptions): Promise<number> {
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
  process.on("SIGHUP", () => stop.resolve());

  let face: Face | undefined;
  const early: AgentEvent[] = [];
  const show = (event: AgentEvent): void => void (face === undefined ? early.push(event) : face.show(event));
  let composed: Composed;
  try {
    composed = await compose({
      options,
      platform: bunPlatform,
      version: manifest.version,
      onEvent: show,
      onBlockedHost: () => face?.blockedHost(),
    });
  } catch (error) {
    if (options.json && error instanceof UnderpassError) {
      process.stdout.write(
        eventLine({ event: "error", code: error.code, message: error.message, fatal: true }),
      );
    }
    return refuse(error);
  }
  abandon = () => composed.agent.abandon();
  face = chooseFace(options, composed, { interrupt, readerGone: () => stop.resolve() });
  for (const warning of options.warnings) face.warn(warning);
  for (const event of early) face.show(event);
  composed.agent.start();
  const reason = await Promise.race([composed.agent.ended, stop.promise.then(() => undefined)]);
  if (reason === undefined) face.stopping(composed.agent.openStreams);
  await composed.stop(reason === undefined ? graceMs : 0);
  await face.close();
  if (reason === undefined) return 0;
  return reason.fatal ? (codes[reason.code].exit ?? 1) : (codes["relay-unreachable"].exit ?? 5);
}

function refuse(error: unknown): number {
  if (!(error instanceof UnderpassError)) throw error;
  process.stderr.write(`underpass: ${visible(error.message)}\n`);
  return codes[error.code].exit ?? 1;
}

function endNow(code: number): never {
  if (process.stdin.isTTY) process.stdin.setRawMode(false);
  process.exit(code);
}
