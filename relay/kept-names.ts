import type { Kind } from "../shared/kind.ts";
import { Names, type NamesOptions } from "./names.ts";
import type { NameRow } from "./store.ts";
import { MemoryNames } from "./stores/memory-names.ts";

/** What has to be kept of a name so that its owner stays the owner. Times are dates. */
export interface NameRecord {
  readonly owner: string;
  readonly kind: Kind;
  readonly state: "reserved" | "live" | "away";
  /** When the last agent left. */
  readonly leftAtMs?: number;
  /** It said goodbye. */
  readonly bye?: boolean;
  /** Absent while live. */
  readonly lapsesAtMs?: number;
}

/** Names of one process that tell each change, for a store that outlives it but is not shared. Time is the date here. */
export class KeptNames extends Names {
  readonly #memory: MemoryNames;
  readonly #ttlMs: number;

  constructor(options: NamesOptions, keep: (name: string, record: NameRecord) => void) {
    const memory = new MemoryNames((name, row) => keep(name, toRecord(row)));
    super(options, memory);
    this.#memory = memory;
    this.#ttlMs = options.ttlMs;
  }

  /**
   * Takes back what was kept; of several names, the first to lapse first. An agent that was here when the process
   * ended left now, as far as anyone knows.
   */
  restore(name: string, record: NameRecord, nowMs: number): void {
    const { owner, kind, state, bye = false, lapsesAtMs = nowMs + this.#ttlMs } = record;
    const leftAtMs = state === "reserved" ? undefined : (record.leftAtMs ?? nowMs);
    this.#memory.put(name, {
      owner,
      kind,
      place: "away",
      bye,
      lapsesAtMs,
      ...(leftAtMs !== undefined && { leftAtMs }),
    });
  }
}

function toRecord({ owner, kind, place, leftAtMs, bye, lapsesAtMs }: NameRow): NameRecord {
  const state = place === "here" ? "live" : leftAtMs === undefined ? "reserved" : "away";
  if (state === "live") return { owner, kind, state };
  return { owner, kind, state, lapsesAtMs, ...(leftAtMs !== undefined && { leftAtMs, bye }) };
}
