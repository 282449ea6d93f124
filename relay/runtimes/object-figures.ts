import type { Memory } from "../../shared/mux/memory.ts";
import type { Metrics } from "../metrics.ts";

/** What an object tells of itself: GET /_underpass/objects/NAME. Since it last came to life. */
export interface ObjectFigures {
  readonly sinceMs: number;
  /** How much of the time since then something was under way that kept it awake: what is billed. */
  readonly busyMs: number;
  /**
   * Bytes in its memory, now and at most: what came from agents and was not taken by visitors, what waits for agents or
   * for their acknowledgement, what visitors send, what the platform has queued (where it tells).
   */
  readonly heldBytes: { readonly now: number; readonly most: number };
  /** Of these: on credit that was given, and all else, which has a bound of its own. */
  readonly onCreditBytes: { readonly now: number; readonly most: number };
  readonly besideBytes: { readonly now: number; readonly most: number };
  /** Credit that was given, used or not. */
  readonly reservedBytes: number;
  readonly streams: number;
  readonly sessions: number;
  readonly links: number;
}

export interface FigureDeps {
  readonly memory: Memory;
  readonly metrics: Metrics;
  readonly sleep: { readonly busyMs: number };
  /** `Date.now()` when the object came to life. */
  readonly sinceMs: number;
}

export function objectFigures({ memory, metrics, sleep, sinceMs }: FigureDeps): ObjectFigures {
  const gauge = ({ now, most }: Memory["held"]) => ({ now, most });
  return {
    sinceMs,
    busyMs: sleep.busyMs,
    heldBytes: gauge(memory.held),
    onCreditBytes: gauge(memory.onCredit),
    besideBytes: gauge(memory.beside),
    reservedBytes: memory.reservedBytes,
    streams: metrics.streamsOpen,
    sessions: metrics.sessions,
    links: metrics.links,
  };
}
