import type { Clock } from "../../shared/clock.ts";
import type { UnderpassError } from "../../shared/errors.ts";
import type { Running } from "../compose/running.ts";
import { configChanges } from "../config/changes.ts";
import type { EntryCommand } from "../config/entries.ts";
import { FleetEntry, type FleetEntryOptions } from "./entry.ts";
import type { FleetEvent } from "./event.ts";
import type { ComposeEntry } from "./run.ts";

export interface FleetOptions {
  readonly compose: ComposeEntry;
  readonly clock: Clock;
  readonly onEvent: (event: FleetEvent) => void;
}

/** What exchanges of an entry that is gone or changed get to finish in: nobody waits for them. */
export const leaveGraceMs = 30_000;

type Commands = ReadonlyMap<string, EntryCommand>;

/** Several commands in one process, by the keys of a file that may change. One that fails for good ends alone. */
export class Fleet implements Running {
  /** Resolves when none is left: with why the last one failed, or with undefined after `stop`. Never rejects. */
  readonly ended: Promise<UnderpassError | undefined>;
  readonly #options: FleetOptions;
  readonly #entryOptions: FleetEntryOptions;
  readonly #end: (reason: UnderpassError | undefined) => void;
  #wanted: Commands;
  readonly #entries = new Map<string, FleetEntry>();
  /** No longer in the file; they finish their exchanges. */
  readonly #removed = new Set<FleetEntry>();
  #reason: UnderpassError | undefined;
  #stopped = false;

  constructor(commands: Commands, options: FleetOptions) {
    this.#options = options;
    this.#wanted = commands;
    const { promise, resolve } = Promise.withResolvers<UnderpassError | undefined>();
    this.ended = promise;
    this.#end = resolve;
    this.#entryOptions = {
      ...options,
      graceMs: leaveGraceMs,
      onEnded: (reason) => this.#ended(reason),
    };
  }

  get openStreams(): number {
    return this.#all().reduce((sum, entry) => sum + entry.openStreams, 0);
  }

  /** Begins. Call once. */
  start(): void {
    for (const [key, command] of this.#wanted) this.#begin(key, command);
  }

  /** Brings what runs to what `commands` say, and tells so. What did not change is not touched; what had failed is begun again. */
  apply(commands: Commands): void {
    if (this.#stopped) return;
    this.#wanted = commands;
    const runs = new Map<string, EntryCommand>();
    for (const [key, { command }] of this.#entries) if (command !== undefined) runs.set(key, command);
    const { added, removed, changed, renamed } = configChanges(runs, commands);
    // First, so that the list stands before what comes of it.
    this.#options.onEvent({
      event: "reload",
      added,
      removed,
      changed: [...changed, ...renamed.map(({ to }) => to)],
    });
    for (const { from, to } of renamed) {
      const entry = this.#entries.get(from);
      if (entry === undefined) continue;
      this.#entries.delete(from);
      this.#forget(to);
      this.#entries.set(to, entry);
    }
    for (const key of [...changed, ...renamed.map(({ to }) => to)]) {
      const command = commands.get(key);
      if (command !== undefined) this.#entries.get(key)?.replace(key, command);
    }
    for (const key of added) {
      const command = commands.get(key);
      if (command !== undefined) this.#begin(key, command);
    }
    for (const key of [...this.#entries.keys()]) if (!commands.has(key)) this.#forget(key);
  }

  /** Says goodbye for all, lets open exchanges finish for `graceMs`, closes all. Idempotent; resolves when it is done. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#all().map((entry) => entry.stop(graceMs)));
    this.#end(undefined);
  }

  abandon(): void {
    for (const entry of this.#all()) entry.abandon();
  }

  #all(): readonly FleetEntry[] {
    return [...this.#entries.values(), ...this.#removed];
  }

  #begin(key: string, command: EntryCommand): void {
    const failed = this.#entries.get(key);
    if (failed === undefined) this.#entries.set(key, new FleetEntry(key, command, this.#entryOptions));
    else failed.replace(key, command);
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#removed.add(entry);
    void entry.stop(leaveGraceMs).then(() => this.#removed.delete(entry));
  }

  #ended(reason: UnderpassError | undefined): void {
    this.#reason = reason ?? this.#reason;
    if (this.#stopped) return;
    if (this.#all().every(({ over }) => over)) this.#end(this.#reason);
  }
}
