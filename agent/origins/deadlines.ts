import type { Clock } from "../../shared/clock.ts";

/** Many items with one and the same time to live on one timer: setting and clearing cost a map entry, not a timer. */
export class Deadlines<T> {
  readonly #clock: Clock;
  readonly #afterMs: number;
  readonly #expire: (item: T) => void;
  /** In the order of their deadlines, since all have the same distance. */
  readonly #items = new Map<T, number>();
  #cancelTimer: (() => void) | undefined;

  constructor(clock: Clock, afterMs: number, expire: (item: T) => void) {
    this.#clock = clock;
    this.#afterMs = afterMs;
    this.#expire = expire;
  }

  /** Expires `item` after the time from now, whatever was set before. */
  set(item: T): void {
    const atMs = this.#clock.now() + this.#afterMs;
    this.#items.delete(item);
    this.#items.set(item, atMs);
    if (this.#cancelTimer === undefined) this.#arm(atMs);
  }

  clear(item: T): void {
    this.#items.delete(item);
  }

  close(): void {
    this.#items.clear();
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #arm(atMs: number): void {
    this.#cancelTimer = this.#clock.at(atMs, () => this.#fire());
  }

  #fire(): void {
    this.#cancelTimer = undefined;
    const nowMs = this.#clock.now();
    for (const [item, atMs] of this.#items) {
      if (atMs > nowMs) {
        if (this.#cancelTimer === undefined) this.#arm(atMs);
        return;
      }
      this.#items.delete(item);
      this.#expire(item);
    }
  }
}
