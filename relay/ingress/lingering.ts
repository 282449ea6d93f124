import { Gauge } from "../../shared/mux/gauge.ts";
import type { Memory } from "../../shared/mux/memory.ts";

/**
 * Of all together: what is complete and taken at some pace is gone in moments. More than a window where windows are large,
 * as the rest of one answer may be as much.
 */
const lingeringLimits = { leastBytes: 8_388_608, shareOfCap: 1 / 6 } as const;

/** What of an answer waits for its visitor. */
export interface Rest {
  readonly queued: number;
  /** Counts what it still has there from now on. */
  countIn(gauge: Gauge): void;
  destroy(): void;
}

/** Answers that came whole and that their visitors have not taken yet: no stream stands for them any more. */
export class Lingering {
  private readonly held: Gauge;
  private readonly mostBytes: number;
  private readonly rests = new Set<Rest>();

  constructor(memory: Memory) {
    this.held = new Gauge(memory.held);
    const { leastBytes, shareOfCap } = lingeringLimits;
    this.mostBytes = Math.max(leastBytes, memory.capBytes * shareOfCap);
  }

  get heldBytes(): number {
    return this.held.now;
  }

  /** Takes one in. Above the bound those are cut off that have been here for the longest. */
  add(rest: Rest): void {
    rest.countIn(this.held);
    this.rests.add(rest);
    for (const oldest of this.rests) {
      if (this.held.now <= this.mostBytes) return;
      this.rests.delete(oldest);
      oldest.destroy();
    }
  }

  /** It has gone. Idempotent. */
  remove(rest: Rest): void {
    this.rests.delete(rest);
  }
}
