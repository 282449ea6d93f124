import type { AgentEvent } from "../screen/events.ts";

/** The file was read again, and what it says is under way. The lists have keys of entries. */
export interface ReloadEvent {
  readonly event: "reload";
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Renamed ones too, by their new key. */
  readonly changed: readonly string[];
}

/** An event of one agent among several: which entry of the file it is about, and the tunnel's name as far as it is known. */
export type EntryEvent = AgentEvent & { readonly entry?: string; readonly name?: string };

/** What a fleet tells. `error` with an `entry` and `fatal`: that one ends, and the others go on. */
export type FleetEvent = EntryEvent | ReloadEvent;
