/** What a load did, seen by both ends: each request by its id, and all that should not have been. */
export class Ledger {
  /** By `performance.now()`; problems are told in ms after it. */
  readonly startedAtMs = performance.now();
  readonly problems: string[] = [];
  /** Problems among whatever else was noted, in order: how it came about. */
  readonly journal: string[] = [];
  /** Requests and WebSockets that ended well, by kind. */
  readonly done: Record<string, number> = {};
  bytesDown = 0;
  bytesUp = 0;
  messages = 0;
  readonly #arrivals = new Map<number, number>();
  readonly #open = new Map<number, () => string>();
  readonly #pausesMs: number[] = [];
  #lastId = 0;
  #problemCount = 0;

  /** A request that a visitor is about to send; `progress` tells how far it is. */
  begin(progress: () => string): number {
    const id = ++this.#lastId;
    this.#arrivals.set(id, 0);
    this.#open.set(id, progress);
    return id;
  }

  /** It came to its end, and its visitor was content; `longestPauseMs` is how long nothing came at worst. */
  end(id: number, kind: string, longestPauseMs: number): void {
    this.#open.delete(id);
    this.done[kind] = (this.done[kind] ?? 0) + 1;
    this.#pausesMs.push(longestPauseMs);
  }

  fail(id: number, what: string): void {
    const progress = this.#open.get(id)?.() ?? "ended";
    this.#open.delete(id);
    this.problem(`visitor of ${id} (${progress}): ${what}`);
  }

  /** The origin sees the request with this id. */
  arrived(id: number): void {
    const before = this.#arrivals.get(id);
    if (before === undefined) this.problem(`origin: a request ${id} that nobody sent`);
    this.#arrivals.set(id, (before ?? 0) + 1);
    if (before) this.problem(`origin: request ${id} for the ${before + 1}. time`);
  }

  problem(what: string): void {
    this.#problemCount++;
    // The first tell the most.
    if (this.problems.length < 100) this.problems.push(this.note(`PROBLEM ${what}`));
  }

  /** Returns the line as it stands in the journal, with its time. */
  note(what: string): string {
    const line = `${Math.round(performance.now() - this.startedAtMs)} ms: ${what}`;
    this.journal.push(line);
    return line;
  }

  /** Requests begun so far. */
  get requests(): number {
    return this.#lastId;
  }

  get problemCount(): number {
    return this.#problemCount;
  }

  /** Ids by how often the origin saw them. */
  get arrivals(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const times of this.#arrivals.values()) counts[times] = (counts[times] ?? 0) + 1;
    return counts;
  }

  /** What has not ended. */
  get open(): string[] {
    return [...this.#open].map(([id, progress]) => `${id}: ${progress()}`);
  }

  /** The longest time in which an exchange heard nothing: of the middle one, of the worst of a hundred, of the worst. */
  get pausesMs(): { p50: number; p99: number; worst: number } {
    const sorted = this.#pausesMs.toSorted((a, b) => a - b);
    const at = (part: number) => Math.round(sorted[Math.floor((sorted.length - 1) * part)] ?? 0);
    return { p50: at(0.5), p99: at(0.99), worst: at(1) };
  }
}
