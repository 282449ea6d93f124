import type { HereAgent } from "../cluster/name-entry.ts";
import type { NameEntry } from "../cluster/registry.ts";

/** What becomes known of names: who waits for it can be told. */
export interface NamesWatcher {
  /** Something is known of the name that was not, or a relay with agents of it has died, or is back. */
  changed(name: string): void;
  /** Sessions here have lost the name, as they are of another owner, or neither among its agents nor as new as `exclusive`. */
  fenced(name: string, entry: NameEntry): void;
  /** The agents that have sessions here that have not lost the name. Absent: nobody can say. */
  here?(name: string): readonly HereAgent[];
}
