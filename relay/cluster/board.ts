/** What a relay tells the others of itself, again and again: as long as it does, it is alive. */
export interface NodeFacts {
  /** Of the process, never given twice: 8 of `[a-z0-9]`. Ids of its sessions begin with it. */
  readonly id: string;
  /** Where its neighbours and agents reach it directly (--advertise); absent: over the bus alone. */
  readonly url?: string;
  readonly state: "ready" | "draining";
  readonly version: string;
  /** A date in ms. */
  readonly startedAt: number;
  /** With agents here. */
  readonly tunnels: number;
  readonly sessions: number;
  /** Streams that came from, and went to, neighbours. */
  readonly hopsIn: number;
  readonly hopsOut: number;
}

/** Where relays put up what they tell of themselves. What is not put up anew within some seconds disappears. */
export interface NodeBoard {
  /** Rejects where it can't be reached. */
  put(node: NodeFacts): Promise<void>;
  /** It ends: the others need not wait until it is missed. */
  remove(id: string): Promise<void>;
  /** Tells of each that is there, and whenever one is put up again; undefined: it was removed. */
  watch(watcher: BoardWatcher): void;
}

export interface BoardWatcher {
  put(node: NodeFacts): void;
  removed(id: string): void;
  /** The board is out of reach, which it tells the operator itself, or within it again: silence of others means nothing meanwhile. */
  reachable(is: boolean): void;
}
