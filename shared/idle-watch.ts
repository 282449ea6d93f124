import type { Clock } from "./clock.ts";

export interface IdleWatchOptions<T> {
  readonly clock: Clock;
  /** Whom nothing has touched for so long is idle. */
  readonly idleMs: number;
  /** Told once of each that is idle, after it was dropped. */
  readonly expire: (one: T) => void;
}

/** Watches over many that may fall idle, with one timer, and none while there are none. In the order of their last sign of life. */
export class IdleWatch<T> {
  readonly #touchedMs = new Map<T, number>();
  readonly #options: IdleWatchOptions<T>;
  #idleMs: number;
  #cancel: (() => void) | undefined;

  constructor(options: IdleWatchOptions<T>) {
    this.#options = options;
    this.#idleMs = options.idleMs;
  }

  get size(): number {
    return this.#touchedMs.size;
  }

  /** The one that is idle longest. */
  get longest(): T | undefined {
    const [first] = this.#touchedMs.keys();
    return first;
  }

  /** All that are watched, the one that is idle longest first. */
  [Symbol.iterator](): IterableIterator<T> {
    return this.#touchedMs.keys();
  }

  /** Begins to watch over it, or it has shown life. */
  touch(one: T): void {
    const { clock } = this.#options;
    this.#touchedMs.delete(one);
    this.#touchedMs.set(one, clock.now());
    this.#cancel ??= this.#wakeAt(clock.now());
  }

  /** From now on who is idle for so long expires; those who are already do at once. */
  shorten(idleMs: number): void {
    this.#idleMs = idleMs;
    this.#sweep();
  }

  /** It is not watched any more. */
  drop(one: T): void {
    if (!this.#touchedMs.delete(one) || this.#touchedMs.size > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Drops all. */
  close(): void {
    this.#touchedMs.clear();
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #wakeAt(oldestMs: number): () => void {
    return this.#options.clock.at(oldestMs + this.#idleMs, () => this.#sweep());
  }

  #sweep(): void {
    const untilMs = this.#options.clock.now() - this.#idleMs;
    for (const [one, touchedMs] of this.#touchedMs) {
      if (touchedMs > untilMs) break;
      this.#touchedMs.delete(one);
      this.#options.expire(one);
    }
    const [oldestMs] = this.#touchedMs.values();
    this.#cancel?.();
    this.#cancel = oldestMs === undefined ? undefined : this.#wakeAt(oldestMs);
  }
}
