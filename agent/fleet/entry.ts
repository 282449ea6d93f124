import type { Clock } from "../../shared/clock.ts";
import type { UnderpassError } from "../../shared/errors.ts";
import { sameCommand, tunnelName } from "../config/changes.ts";
import type { EntryCommand } from "../config/entries.ts";
import type { AgentEvent } from "../screen/events.ts";
import type { EntryEvent } from "./event.ts";
import { type ComposeEntry, FleetRun } from "./run.ts";

export interface FleetEntryOptions {
  readonly compose: ComposeEntry;
  readonly clock: Clock;
  /** What a run's exchanges get once another has taken its place, or its entry is gone. */
  readonly graceMs: number;
  readonly onEvent: (event: EntryEvent) => void;
  /** One of its runs is over; `reason`: why, where that was not asked for. */
  readonly onEnded: (reason: UnderpassError | undefined) => void;
}

/** One entry of the file as it runs. A change is made before break: what serves goes on until the next is ready. */
export class FleetEntry {
  readonly #options: FleetEntryOptions;
  #key: string;
  /** What serves, or is the first to do so. */
  #serving: FleetRun | undefined;
  /** Takes the place of `#serving` as soon as it is ready. */
  #next: FleetRun | undefined;
  /** Runs that only finish their exchanges. */
  readonly #leaving = new Set<FleetRun>();
  /** The tunnel's, once the relay has given it. */
  #name: string | undefined;

  constructor(key: string, command: EntryCommand, options: FleetEntryOptions) {
    this.#key = key;
    this.#options = options;
    this.#serving = this.#run(command);
  }

  /** What serves, or is about to; undefined: nothing does, for it failed. */
  get command(): EntryCommand | undefined {
    return (this.#next ?? this.#serving)?.command;
  }
  /** No run is left, not even one that finishes. */
  get over(): boolean {
    return this.command === undefined && this.#leaving.size === 0;
  }
  get openStreams(): number {
    return [...this.#runs()].reduce((sum, run) => sum + run.openStreams, 0);
  }

  /** Lets `command` take the place of what serves; under `key` it is told of from now on. */
  replace(key: string, command: EntryCommand): void {
    this.#key = key;
    this.#leave(this.#next, 0);
    const before = this.#serving?.command;
    // The file may say again what it said before a change that never got ready.
    if (before !== undefined && sameCommand(before, command)) return;
    if (before !== undefined && !holdSamePort(before, command)) {
      this.#next = this.#run(command);
      return;
    }
    this.#leave(this.#serving, this.#options.graceMs);
    this.#serving = this.#run(command);
  }

  /** Ends all runs; their exchanges have `graceMs` to finish. Idempotent; resolves when the last is over. */
  async stop(graceMs: number): Promise<void> {
    const { clock } = this.#options;
    const late = [...this.#leaving];
    this.#leave(this.#next, 0);
    this.#leave(this.#serving, graceMs);
    // Those that leave already may have been given more.
    const cancel = clock.at(clock.now() + graceMs, () => {
      for (const run of late) run.abandon();
    });
    await Promise.all([...this.#leaving].map(({ ended }) => ended));
    cancel();
  }

  abandon(): void {
    for (const run of this.#runs()) run.abandon();
  }

  #runs(): readonly FleetRun[] {
    return [this.#serving, this.#next, ...this.#leaving].filter((run) => run !== undefined);
  }

  #run(command: EntryCommand): FleetRun {
    const { compose } = this.#options;
    const run = new FleetRun(command, this.#keepName(command), compose, (event) => this.#heard(event, run));
    void run.ended.then((reason) => {
      this.#retire(run);
      this.#leaving.delete(run);
      this.#options.onEnded(reason);
    });
    return run;
  }

  /** A tunnel that asks for no name keeps the one that it was given. */
  #keepName(command: EntryCommand): EntryCommand {
    const name = this.#name;
    if (command.command !== "expose" || name === undefined || command.tunnel.name !== undefined)
      return command;
    return { ...command, tunnel: { ...command.tunnel, name } };
  }

  #heard(event: AgentEvent, run: FleetRun): void {
    // While one takes over from another, the life of the newer is the entry's. Exchanges are told wherever they end.
    const isExchange = event.event === "request" || event.event === "stream";
    if (!isExchange && run !== (this.#next ?? this.#serving)) return;
    if (event.event === "ready") {
      this.#name = event.name ?? this.#name;
      if (run === this.#next) this.#leave(this.#serving, this.#options.graceMs);
      this.#serving = run;
      this.#next = undefined;
    }
    const fails = event.event === "error" && event.fatal;
    const other = run === this.#next ? this.#serving : undefined;
    if (fails) this.#retire(run);
    const name = tunnelName(run.command) ?? this.#name ?? this.#key;
    this.#options.onEvent({
      ...event,
      // What served before goes on.
      ...(fails && other !== undefined && { fatal: false }),
      entry: this.#key,
      name,
    });
  }

  #leave(run: FleetRun | undefined, graceMs: number): void {
    if (run === undefined) return;
    this.#retire(run);
    void run.stop(graceMs);
  }

  /** It serves no more, or never will. What is about to takes its place. */
  #retire(run: FleetRun): void {
    this.#leaving.add(run);
    if (run === this.#next) this.#next = undefined;
    if (run !== this.#serving) return;
    this.#serving = this.#next;
    this.#next = undefined;
  }
}

/** Whether both listen at one port of this machine: then there is no second before the first is gone. */
function holdSamePort(one: EntryCommand, other: EntryCommand): boolean {
  const [from, to] = [listensAt(one), listensAt(other)];
  return from !== undefined && from !== 0 && from === to;
}

function listensAt(command: EntryCommand): number | undefined {
  if (command.command === "expose") return undefined;
  const address = command.command === "connect" ? command.from : command.listen;
  return address === "stdio" ? undefined : address.port;
}
