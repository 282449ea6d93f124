import type { Kind } from "../shared/kind.ts";
import { Names, type NamesOptions } from "./names.ts";

/** What has to be kept of a name so that its owner stays the owner. Times are dates. */
export interface NameRecord {
  readonly owner: string;
  readonly kind: Kind;
  readonly claimedAtMs: number;
  readonly state: "reserved" | "live" | "away";
  /** When the last agent left. */
  readonly leftAtMs?: number;
}

/** Names that tell each change, for a store that outlives the process. Time is the date here. */
export class KeptNames extends Names {
  readonly #claimedAtMs = new Map<string, number>();
  readonly #keep: (name: string, record: NameRecord) => void;

  constructor(options: NamesOptions, keep: (name: string, record: NameRecord) => void) {
    super(options);
    this.#keep = keep;
  }

  /** Takes back what was kept. An agent that was here when the process ended left now, as far as anyone knows. */
  restore(name: string, record: NameRecord, nowMs: number): void {
    super.claim(name, record.owner, record.kind, record.claimedAtMs);
    this.#claimedAtMs.set(name, record.claimedAtMs);
    if (record.state === "reserved") return;
    super.touch(name, record.claimedAtMs);
    super.leave(name, record.leftAtMs ?? nowMs);
  }

  override claim(name: string | undefined, owner: string, kind: Kind, nowMs: number): string {
    const granted = super.claim(name, owner, kind, nowMs);
    if (!this.lookup(granted)?.live) this.#tell(granted, { claimedAtMs: nowMs });
    return granted;
  }

  override touch(name: string, nowMs: number): void {
    const before = this.lookup(name)?.live;
    super.touch(name, nowMs);
    if (before === false) this.#tell(name, {});
  }

  override leave(name: string, nowMs: number): void {
    const before = this.lookup(name)?.live;
    super.leave(name, nowMs);
    if (before === true) this.#tell(name, {});
  }

  #tell(name: string, { claimedAtMs = this.#claimedAtMs.get(name) ?? 0 }: { claimedAtMs?: number }): void {
    const facts = this.lookup(name);
    if (facts === undefined) return;
    this.#claimedAtMs.set(name, claimedAtMs);
    const { owner, kind, live, leftAtMs } = facts;
    const state = live ? "live" : leftAtMs === undefined ? "reserved" : "away";
    this.#keep(name, { owner, kind, claimedAtMs, state, ...(leftAtMs !== undefined && { leftAtMs }) });
  }
}
