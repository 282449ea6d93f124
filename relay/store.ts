import type { Kind } from "../shared/kind.ts";

/** What is kept of a name. Times are those that `Names` is told: milliseconds that only rise. */
export interface NameRow {
  readonly owner: string;
  readonly kind: Kind;
  /** The public port of a tcp or udp tunnel: no other name of that kind has it. */
  readonly port?: number;
  /** Where its agents are: in this process, nowhere, or in another process, which may be gone by now. */
  readonly place: "here" | "elsewhere" | "away";
  /** When the last agent left; absent while one is here, and before the first came. `elsewhere`: not before this process started. */
  readonly leftAtMs?: number;
  /** The agent that left last said goodbye. */
  readonly bye: boolean;
  /** When the name is free again if nothing happens; infinite while an agent is here. */
  readonly lapsesAtMs: number;
}

/**
 * Where names are kept: in memory, or in a file that outlives the process and that an old and a new relay process
 * share. Implementations stand in `stores/`, and in `runtimes/` where they need a platform; all pass
 * tests/relay/names.test.ts. Nothing here throws for a failure of the store's own.
 */
export interface NameStore {
  /** `elsewhere` is told by signs of life of the other process: its agents are there now. */
  readonly homesBeat?: boolean;
  readonly size: number;
  countOf(owner: string): number;
  get(name: string): NameRow | undefined;
  /** The name that has this public port. */
  holder(kind: Kind, port: number): string | undefined;
  /** The names that have a public port. */
  withPort(): readonly string[];
  /**
   * Puts what `change` makes of the row in its place, and returns what stands then. No process gets between. The same
   * row, or what `change` throws, leaves all as it is. A store that can't write returns what it has.
   */
  update(name: string, change: (row: NameRow | undefined) => NameRow | undefined): NameRow | undefined;
  /** Removes what has lapsed, and says how many; a name with an agent here never does. */
  sweep(nowMs: number): number;
  /** Names with agents in another process lapse then, unless they are touched: that process may be gone. At the start. */
  inherit(lapsesAtMs: number): void;
}
