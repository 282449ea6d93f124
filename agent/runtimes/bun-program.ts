import { readFileSync } from "node:fs";
import manifest from "../../package.json" with { type: "json" };
import { codes, UnderpassError } from "../../shared/errors.ts";
import { CommandLine } from "../command-line.ts";
import { type Composed, compose } from "../compose.ts";
import { type AgentEvent, eventLine } from "../events.ts";
import { logLine } from "../log.ts";
import { type AgentOptions, checkOptions } from "../options.ts";
import { Screen, visible } from "../screen.ts";
import { bunPlatform } from "./bun.ts";

/** What open exchanges get to finish in after SIGINT or SIGTERM; a second SIGINT ends at once. */
const graceMs = 5_000;

/** Where events go: a screen for a person, lines for a program. */
interface Face {
  show(event: AgentEvent): void;
  warn(text: string): void;
  blockedHost(): void;
  stopping(open: number): void;
  close(): void;
}

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
  const interrupt = (): void => {
    if (++signals > 1) endNow(0);
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
  face = chooseFace(options, composed, interrupt);
  for (const warning of options.warnings) face.warn(warning);
  for (const event of early) face.show(event);
  composed.agent.start();
  const reason = await Promise.race([composed.agent.ended, stop.promise.then(() => undefined)]);
  if (reason === undefined) face.stopping(composed.agent.openStreams);
  await composed.stop(reason === undefined ? graceMs : 0);
  face.close();
  if (reason === undefined) return 0;
  return reason.fatal ? (codes[reason.code].exit ?? 1) : (codes["relay-unreachable"].exit ?? 5);
}

function chooseFace(options: AgentOptions, composed: Composed, interrupt: () => void): Face {
  if (options.json) return jsonFace(options);
  return process.stdout.isTTY ? screenFace(options, composed, interrupt) : plainFace(options);
}

function jsonFace({ verbose }: AgentOptions): Face {
  return {
    ...plainFace({ verbose }),
    show(event) {
      process.stdout.write(eventLine(event));
      const line = event.event === "error" || verbose ? logLine(event, { verbose }) : undefined;
      if (line !== undefined) process.stderr.write(`${line}\n`);
    },
  };
}

/** No terminal: one URL line on stdout, and the log on stderr. */
function plainFace({ verbose }: { readonly verbose: boolean }): Face {
  const log = (text: string): void => void process.stderr.write(`${text}\n`);
  let printed = "";
  return {
    show(event) {
      if (event.event === "ready" && event.url !== printed) {
        printed = event.url;
        process.stdout.write(`${event.url}\n`);
      }
      const line = logLine(event, { verbose });
      if (line !== undefined) log(line);
    },
    warn: (text) => log(`warning: ${visible(text)}`),
    blockedHost: () =>
      log("hint: this looks like a dev server that refuses unknown hosts: try --host-header origin"),
    stopping: (open) => {
      if (open > 0) log(`stopping, finishing ${open} open exchanges`);
    },
    close() {},
  };
}

function screenFace(options: AgentOptions, { embedded }: Composed, interrupt: () => void): Face {
  const { stdout } = process;
  const screen = new Screen({
    terminal: {
      write: (text) => void stdout.write(text),
      get columns() {
        return stdout.columns || 80;
      },
    },
    clock: bunPlatform.clock,
    colors: !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb",
    qr: options.qr,
    version: manifest.version,
    origin: options.origin.url,
    ...(options.relay && { relay: options.relay.origin }),
    ...(embedded?.lan && { lan: true }),
  });
  const releaseKeys = readKeys((key) => {
    if (key === "\x03") interrupt();
    else screen.key(key);
  });
  return {
    show: (event) => screen.show(event),
    warn: (text) => screen.note(text),
    blockedHost: () => screen.blockedHost(),
    stopping: (open) => screen.stopping(open),
    close() {
      screen.close();
      releaseKeys();
    },
  };
}

/** Hands over keys as they are pressed. Returns what leaves the terminal as it was. */
function readKeys(onKey: (key: string) => void): () => void {
  const { stdin } = process;
  if (!stdin.isTTY || isInBackground()) return () => {};
  const suspend = (): void => {
    stdin.setRawMode(false);
    process.once("SIGCONT", () => void stdin.setRawMode(true));
    process.kill(process.pid, "SIGTSTP");
  };
  const read = (bytes: Uint8Array): void => {
    for (const key of new TextDecoder("latin1").decode(bytes)) {
      if (key === "\x1a") suspend();
      else onKey(key);
    }
  };
  stdin.setRawMode(true);
  stdin.on("data", read);
  stdin.resume();
  return () => {
    stdin.off("data", read);
    stdin.pause();
    stdin.setRawMode(false);
  };
}

/** A job behind `&` must not touch the terminal's mode: it would be stopped (SIGTTOU). Only Linux can tell. */
function isInBackground(): boolean {
  try {
    // proc(5): after the name in parentheses come state, ppid, pgrp, session, tty_nr, tpgid.
    const [, , group, , , foreground] = readFileSync("/proc/self/stat", "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return group !== foreground;
  } catch {
    // No /proc: it is taken for a job in the foreground, as nearly all are.
    return false;
  }
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
