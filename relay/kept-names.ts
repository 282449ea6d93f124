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
  readonly #keep: (name: string, record: NameRecord) => void;

  constructor(options: NamesOptions, keep: (name: string, record: NameRecord) => void) {
    const memory = new MemoryNames((name, row) => keep(name, toRecord(row)));
    super(options, memory);
    this.#memory = memory;
    this.#ttlMs = options.ttlMs;
    this.#keep = keep;
  }

  /**
   * Takes back what was kept; of several names, the first to lapse first. `here`: the agents that it has still are.
   * Those that were here when the process ended and are not any more left now, as far as anyone knows.
   */
  restore(name: string, record: NameRecord, nowMs: number, { here = false } = {}): void {
    const { owner, kind, state, bye = false, lapsesAtMs = nowMs + this.#ttlMs } = record;
    if (here) {
      const lapsesNever = { bye: false, lapsesAtMs: Number.POSITIVE_INFINITY };
      this.#memory.put(name, { owner, kind, place: "here", ...lapsesNever });
      return;
    }
    const leftAtMs = state === "reserved" ? undefined : (record.leftAtMs ?? nowMs);
    const left = { bye, lapsesAtMs, ...(leftAtMs !== undefined && { leftAtMs }) };
    const row: NameRow = { owner, kind, place: "away", ...left };
    this.#memory.put(name, row);
    // Else they would have left now each time.
    if (state === "live") this.#keep(name, toRecord(row));
  }
}

function toRecord({ owner, kind, place, leftAtMs, bye, lapsesAtMs }: NameRow): NameRecord {
  const state = place === "here" ? "live" : leftAtMs === undefined ? "reserved" : "away";
  if (state === "live") return { owner, kind, state };
  return { owner, kind, state, lapsesAtMs, ...(leftAtMs !== undefined && { leftAtMs, bye }) };
}
