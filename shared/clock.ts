/** Time as the drivers see it; the core never does (it is told). Tests pass a virtual one. */
export interface Clock {
  /** Milliseconds that only rise; fractions allowed. No relation to the date. */
  now(): number;
  /** Milliseconds since 1970, for tokens and logs. */
  date(): number;
  /** Calls `run` once when `now()` has reached `atMs`. Returns what cancels it. */
  at(atMs: number, run: () => void): () => void;
  /** Calls `run` once after the events of this turn of the loop have been handled. */
  soon(run: () => void): void;
}
