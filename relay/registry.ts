import type { Kind } from "../shared/kind.ts";

/** What relays that share no file tell each other of a name. Times are dates in ms: no two of them have the same clock. */
export interface NameEntry {
  readonly owner: string;
  readonly kind: Kind;
  /** The relay process that has its agents; "": none has. */
  readonly home: string;
  /** Rises with each change of home, so that a later one is told from one before it. */
  readonly generation: number;
  /** When its home said last that it still has them. One that has not for some minutes is gone. */
  readonly beatAt: number;
  /** When the last agent left; absent while one is at home, and before the first came. */
  readonly leftAt?: number;
  /** The agent that left last said goodbye. */
  readonly bye: boolean;
  /** When the name is free again if nothing happens. */
  readonly lapsesAt: number;
}

/** An entry and the state of the store that it stands for: a word of the store's own. */
export interface FoundName {
  readonly entry: NameEntry;
  readonly revision: string;
}

/**
 * Where relays agree on names: a store that all of them reach, which takes its time and may fail (both reject). A claim, a
 * renewal and a release are all the same `write`, as each holds only for what was read before it.
 */
export interface Registry {
  read(name: string): Promise<FoundName | undefined>;
  /**
   * Puts the entry in the place of `revision`, undefined where there is to be none. Returns the new revision; undefined
   * where somebody else was quicker. The store may forget the entry once it has lapsed.
   */
  write(name: string, entry: NameEntry, revision: string | undefined): Promise<string | undefined>;
  close(): void;
}
