import type { Running } from "../../agent/compose/running.ts";
import { tunnelName } from "../../agent/config/changes.ts";
import { readConfig } from "../../agent/config/config.ts";
import type { EntryCommand } from "../../agent/config/entries.ts";
import type { FleetEvent } from "../../agent/fleet/event.ts";
import { Fleet } from "../../agent/fleet/fleet.ts";
import type { AgentEvent } from "../../agent/screen/events.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** The commands of a file with these lines under `tunnels:`. */
export function tunnels(...lines: string[]): ReadonlyMap<string, EntryCommand> {
  return file(`tunnels:\n${lines.map((line) => `  ${line}\n`).join("")}`);
}

export function file(text: string): ReadonlyMap<string, EntryCommand> {
  return readConfig({ text, path: "underpass.yaml", link: {}, names: [] }).entries;
}

/** What a command runs as, in the test's hands. */
export class FakeRun implements Running {
  openStreams = 0;
  started = false;
  /** As told by the first `stop`. */
  graceMs: number | undefined;
  abandoned = false;
  readonly ended: Promise<UnderpassError | undefined>;
  readonly #end: (reason: UnderpassError | undefined) => void;

  constructor(
    readonly command: EntryCommand,
    readonly tell: (event: AgentEvent) => void,
  ) {
    const { promise, resolve } = Promise.withResolvers<UnderpassError | undefined>();
    this.ended = promise;
    this.#end = resolve;
  }

  start(): void {
    this.started = true;
  }
  /** Ends at once where nothing is open; else once `finish` is called. */
  async stop(graceMs: number): Promise<void> {
    this.graceMs ??= graceMs;
    if (this.openStreams === 0) this.#end(undefined);
    await this.ended;
  }
  abandon(): void {
    this.abandoned = true;
    this.finish();
  }

  finish(): void {
    this.openStreams = 0;
    this.#end(undefined);
  }
  ready(name = tunnelName(this.command) ?? "given"): void {
    const url = `http://${name}.localhost`;
    this.tell({ event: "ready", name, kind: "http", url, urls: [url], resumed: false });
  }
  /** As an agent does: it tells, and ends once its exchanges have. */
  fail(code: "superseded" | "unauthorized" | "name-taken"): void {
    this.tell({ event: "error", code, message: code, fatal: true });
    if (this.openStreams === 0) this.#end(new UnderpassError(code));
  }
}

export class FleetBench {
  readonly clock = new VirtualClock();
  readonly events: FleetEvent[] = [];
  /** In the order in which they were put together. */
  readonly runs: FakeRun[] = [];
  readonly fleet: Fleet;
  /** What putting the next one together fails with. */
  refuse: UnderpassError | undefined;

  constructor(commands: ReadonlyMap<string, EntryCommand>) {
    this.fleet = new Fleet(commands, {
      clock: this.clock,
      onEvent: (event) => void this.events.push(event),
      compose: async (command, onEvent) => {
        const { refuse } = this;
        this.refuse = undefined;
        if (refuse !== undefined) throw refuse;
        const run = new FakeRun(command, onEvent);
        this.runs.push(run);
        return run;
      },
    });
  }

  /** Started, and each entry ready. */
  static async ready(commands: ReadonlyMap<string, EntryCommand>): Promise<FleetBench> {
    const bench = new FleetBench(commands);
    bench.fleet.start();
    await turn();
    for (const run of bench.runs) run.ready();
    bench.events.length = 0;
    return bench;
  }

  /** Applies, lets what is put together be so, and hands over the runs that are new. */
  async apply(commands: ReadonlyMap<string, EntryCommand>): Promise<FakeRun[]> {
    const before = this.runs.length;
    this.fleet.apply(commands);
    await turn();
    return this.runs.slice(before);
  }
}

/** Lets promises that are resolved have their effect. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
