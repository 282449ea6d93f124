import { isatty } from "node:tty";
import { UnderpassError } from "../../shared/errors.ts";
import {
  type ConfigCheckCommand,
  type FaceOptions,
  type StartCommand,
  warningsOf,
} from "../command/options.ts";
import type { Running } from "../compose/running.ts";
import { describeEntries } from "../config/check.ts";
import { type Config, readConfig } from "../config/config.ts";
import { ConfigWatch } from "../config/watch.ts";
import { FleetCompose, type FleetSurroundings } from "../fleet/compose.ts";
import type { FleetEvent } from "../fleet/event.ts";
import { Fleet } from "../fleet/fleet.ts";
import { visible } from "../screen/screen-text.ts";
import { configFiles } from "./config-files.ts";

export interface StartSurroundings extends Omit<FleetSurroundings, "onEvent"> {
  readonly onEvent: (event: FleetEvent) => void;
  /** From now on SIGHUP is to do this, rather than to stop. */
  readonly onHangUp: (reload: () => void) => void;
  /** What the person should know, once each. */
  readonly onWarning: (text: string) => void;
}

const defaultPath = "underpass.yaml";

/** What underpass.yaml says, as one; it follows the file. Rejects with ConfigError, or UnderpassError `usage`. */
export async function composeStart(command: StartCommand, given: StartSurroundings): Promise<Running> {
  const { config: path = defaultPath, names, link, listen } = command;
  const { onEvent, platform } = given;
  const { clock } = platform;
  const warned = new Set<string>();
  const entriesOf = (text: string) => {
    const { entries } = readConfig({ text, path, names, link, ...(listen && { listen }) });
    for (const warning of warnings(entries)) {
      if (!warned.has(warning)) given.onWarning(warning);
      warned.add(warning);
    }
    return entries;
  };
  const tell = (error: unknown, rest: string): void => {
    const { code, message } = readable(error, path);
    onEvent({ event: "error", code, message: `${message} ${rest}`, fatal: false });
  };
  const text = await readFile(path);
  const fleet = new Fleet(entriesOf(text), { compose: new FleetCompose(given).compose, clock, onEvent });
  const watch = new ConfigWatch(text, {
    ...{ path, files: configFiles, clock },
    onText(changed) {
      try {
        fleet.apply(entriesOf(changed));
      } catch (error) {
        tell(error, unchanged);
      }
    },
    onUnreadable: (error) => tell(error, unchanged),
    onBlind: (error) =>
      tell(
        new UnderpassError("usage", `${path} can't be watched (${String(error)}).`),
        "After a change, send SIGHUP.",
      ),
  });
  const terminals = openTerminals();
  given.onHangUp(() => {
    // The window was closed, and nobody asked for the file to be read again.
    if (terminals.some((fd) => !isatty(fd))) process.kill(process.pid, "SIGTERM");
    else watch.look();
  });
  return {
    start() {
      fleet.start();
      void watch.start();
    },
    ended: fleet.ended,
    get openStreams() {
      return fleet.openStreams;
    },
    abandon: () => fleet.abandon(),
    stop(graceMs) {
      watch.close();
      return fleet.stop(graceMs);
    },
  };
}

const unchanged = "What runs goes on as it was.";

/** Prints what would start; resolves with the exit code. Rejects as `composeStart` does. */
export async function checkConfig(command: ConfigCheckCommand, { json }: FaceOptions): Promise<number> {
  const { config: path = defaultPath } = command;
  const { entries } = readConfig({ text: await readFile(path), path, names: [], link: {} });
  const lines = describeEntries(entries, { json });
  process.stdout.write(lines.map((line) => `${visible(line)}\n`).join(""));
  for (const warning of warnings(entries)) process.stderr.write(`warning: ${visible(warning)}\n`);
  return 0;
}

function warnings(entries: Config["entries"]): readonly string[] {
  return [...entries].flatMap(([key, command]) => warningsOf(command).map((text) => `${key}: ${text}`));
}

async function readFile(path: string): Promise<string> {
  try {
    return await configFiles.read(path);
  } catch (error) {
    throw readable(error, path);
  }
}

function readable(error: unknown, path: string): UnderpassError {
  if (error instanceof UnderpassError) return error;
  return new UnderpassError(
    "usage",
    `${path} can't be read${path === defaultPath ? "; give --config FILE" : ""}.`,
    { cause: error },
  );
}

function openTerminals(): readonly number[] {
  return [0, 1, 2].filter((fd) => isatty(fd));
}
