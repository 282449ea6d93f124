import * as v from "valibot";
import { UnderpassError } from "../../shared/errors.ts";
import type { ListenAddress } from "../../shared/listen-address.ts";
import type { RelayLinkWish } from "../command/relay-link.ts";
import { ConfigEntries, type EntryCommand } from "./entries.ts";
import { configSchema } from "./schema.ts";
import { type KeyPath, type Problem, readYaml } from "./yaml.ts";

/** underpass.yaml, checked, together with what the command line said. */
export interface Config {
  /** By the key of the entry, in the file's order. */
  readonly entries: ReadonlyMap<string, EntryCommand>;
  /** Where an embedded relay listens; absent: 127.0.0.1:8787 or the next free port. */
  readonly listen?: ListenAddress;
}

export interface ConfigSource {
  readonly text: string;
  /** The file's path, as the person gave it. */
  readonly path: string;
  /** What the command line and the environment say: it wins over the file. */
  readonly link: RelayLinkWish;
  readonly listen?: ListenAddress;
  /** The entries that are wanted; empty: all. */
  readonly names: readonly string[];
}

/** What is wrong with a file: `problems` has a line for each, and the message is one line for all. */
export class ConfigError extends UnderpassError {
  constructor(readonly problems: readonly string[]) {
    const more = problems.length - 1;
    super("usage", `${problems[0] ?? ""}${more > 0 ? ` (and ${more} more)` : ""}`);
  }
}

/** Larger is no file that a person wrote. */
export const maxConfigBytes = 256 * 1_024;
/** Whoever has more to mend does it in turns. */
const maxProblems = 10;

/** The text of a file, of which at most `maxConfigBytes` and one more were read. Throws ConfigError where it has more. */
export function configText(bytes: Uint8Array, path: string): string {
  if (bytes.length > maxConfigBytes)
    throw new ConfigError([`${path}: has more than ${maxConfigBytes / 1_024} KiB.`]);
  return new TextDecoder().decode(bytes);
}

/** Throws ConfigError with all that is wrong, and UnderpassError for what the command line asks of it. */
export function readConfig(source: ConfigSource): Config {
  const { text, path } = source;
  const yaml = readYaml(text);
  if (!("lineOf" in yaml)) throw fault(path, yaml);
  const problemAt = (keys: KeyPath, message: string): Problem => ({
    line: yaml.lineOf(keys),
    message: keys.length === 0 ? message : `${keys.join(".")}: ${message}`,
  });
  const checked = v.safeParse(configSchema, yaml.value);
  if (!checked.success) {
    const seen = new Set<string>();
    const problems: Problem[] = [];
    for (const issue of checked.issues) {
      const keys = (issue.path ?? []).map(({ key }) => key as string | number);
      // The first complaint about a value is the plainest.
      if (seen.has(keys.join("\n"))) continue;
      seen.add(keys.join("\n"));
      problems.push(problemAt(keys, issue.message));
    }
    throw fault(path, problems);
  }
  const { link, listen } = source;
  const all = new ConfigEntries(checked.output, {
    path,
    link,
    listen,
    complain: (keys, message) => fault(path, [problemAt(keys, message)]),
  });
  return {
    entries: select(all.commands, source),
    ...(all.listen && { listen: all.listen }),
  };
}

function select(
  all: ReadonlyMap<string, EntryCommand>,
  { names, path }: ConfigSource,
): ReadonlyMap<string, EntryCommand> {
  if (names.length === 0) return all;
  const unknown = names.filter((name) => !all.has(name));
  if (unknown.length > 0) {
    const there = [...all.keys()].join(", ");
    throw new UnderpassError("usage", `${path} has no ${unknown.join(", ")}. There are ${there}.`);
  }
  return new Map([...all].filter(([name]) => names.includes(name)));
}

function fault(path: string, problems: readonly Problem[]): ConfigError {
  const lines = [...problems]
    .sort((one, other) => one.line - other.line)
    .map(({ line, message }) => `${path}:${line}: ${message}`);
  const rest = lines.length - maxProblems;
  return new ConfigError(rest > 0 ? [...lines.slice(0, maxProblems), `and ${rest} more.`] : lines);
}
