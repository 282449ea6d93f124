import { agentsAt, bury, reclaim } from "../cluster/name-entry.ts";
import type { NameEntry } from "../cluster/registry.ts";
import { Departed } from "./departed.ts";
import type { KnownNames } from "./known-names.ts";
import type { NameRows } from "./name-rows.ts";
import type { NameWrites } from "./name-writes.ts";

const sweepLimits = {
  /** Names that lapsed or lost their relays, written in one sweep. */
  maxSwept: 1_000,
} as const;

export interface NameSweepOptions {
  readonly known: KnownNames;
  readonly writes: NameWrites;
  readonly rows: NameRows;
  readonly relay: string;
  readonly ttlMs: number;
  /** That a relay lives is told by its names. */
  readonly beats: boolean;
}

/** What is done for all names now and then. */
export class NameSweep {
  constructor(private readonly options: NameSweepOptions) {}

  /**
   * Says of the names with agents here that they still are, where that tells who lives; frees what lapsed, and says how
   * many; of those that were lost with their relays, writes so; claims again what the registry has lost.
   */
  run(nowMs: number, { isTold }: { readonly isTold: boolean }): number {
    const { known: names, writes, rows, beats } = this.options;
    if (beats) this.beat();
    let [removed, written] = [0, 0];
    for (const [name, known] of names.all()) {
      const { entry } = known;
      if (entry === undefined || written >= sweepLimits.maxSwept) continue;
      const isOthers = !names.knowsAll && known.countedFor === undefined;
      if (!isOthers && rows.hasLapsed(entry, nowMs)) {
        writes.add(name, (found) => (found && rows.hasLapsed(found, nowMs) ? undefined : found));
        names.count(name, known, undefined);
        [removed, written] = [removed + 1, written + 1];
      } else if (!names.knowsAll || writes.has(name)) continue;
      else if (known.revision === undefined && isTold) this.claimAgain(name, entry);
      else if (this.isLongLost(entry, nowMs)) {
        writes.add(name, (found) => (found && this.isLongLost(found, nowMs) ? this.buried(found) : found));
        written++;
      }
    }
    rows.forgetUnless((relay) => names.hasAny(relay));
    return removed;
  }

  /** The registry has lost a name that was as it is here. */
  claimAgain(name: string, ours: NameEntry): void {
    const { writes, relay } = this.options;
    writes.addFirst(name, (found) => reclaim(ours, found, relay));
  }

  private beat(): void {
    const { known, writes, rows, relay } = this.options;
    for (const name of [...known.at(relay)])
      writes.add(name, (entry) =>
        entry && agentsAt(entry, relay).length > 0 ? { ...entry, ...rows.beat() } : entry,
      );
  }

  private isLongLost(entry: NameEntry, nowMs: number): boolean {
    const lostMs = this.options.rows.lostMs(entry);
    return lostMs !== undefined && nowMs - lostMs >= Departed.rememberedMs;
  }

  private buried(entry: NameEntry): NameEntry {
    const { rows, ttlMs } = this.options;
    const leftAt = rows.dateOf(rows.lostMs(entry) ?? 0);
    return bury(entry, { leftAt, lapsesAt: leftAt + ttlMs });
  }
}
