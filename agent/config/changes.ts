import type { EntryCommand } from "./entries.ts";

/** What a file that was read again means for what runs. Each key of both files is in exactly one of them. */
export interface ConfigChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  /** Not touched. */
  readonly same: readonly string[];
  /** The same tunnel under another key, and changed no more than that. */
  readonly renamed: readonly { readonly from: string; readonly to: string }[];
}

type Commands = ReadonlyMap<string, EntryCommand>;

/** Compares what runs with what is wanted. An entry that has another key but the same tunnel's name was renamed. */
export function configChanges(runs: Commands, wanted: Commands): ConfigChanges {
  const renamed = findRenamed(runs, wanted);
  const gone = new Set(renamed.map(({ from }) => from));
  const come = new Set(renamed.map(({ to }) => to));
  const changed: string[] = [];
  const same: string[] = [];
  for (const [key, command] of wanted) {
    const running = runs.get(key);
    if (running !== undefined) (sameCommand(running, command) ? same : changed).push(key);
  }
  return {
    added: [...wanted.keys()].filter((key) => !runs.has(key) && !come.has(key)),
    removed: [...runs.keys()].filter((key) => !wanted.has(key) && !gone.has(key)),
    changed,
    same,
    renamed,
  };
}

/** Whether two commands do the same. They are made by one function, so that their members stand in one order. */
export function sameCommand(one: EntryCommand, other: EntryCommand): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** The name of the tunnel that a command serves, where one was asked for. */
export function tunnelName(command: EntryCommand): string | undefined {
  return command.command === "expose" ? command.tunnel.name : undefined;
}

function findRenamed(runs: Commands, wanted: Commands): { from: string; to: string }[] {
  const left = new Map<string, string>();
  for (const [key, command] of runs) {
    const name = tunnelName(command);
    if (name !== undefined && !wanted.has(key)) left.set(name, key);
  }
  const renamed: { from: string; to: string }[] = [];
  for (const [to, command] of wanted) {
    const from = runs.has(to) ? undefined : left.get(tunnelName(command) ?? "");
    if (from !== undefined) renamed.push({ from, to });
  }
  return renamed;
}
