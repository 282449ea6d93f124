import type { Clock } from "../../shared/clock.ts";

/** Time that moves when the test says so; `soon` is the real end of the turn, so that links and drivers work. */
export class VirtualClock implements Clock {
  #now: number;
  readonly #dateAheadMs: number;
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>();

  constructor({ nowMs = 1_000, dateMs = Date.UTC(2026, 10, 21, 12, 0, 0) } = {}) {
    this.#now = nowMs;
    this.#dateAheadMs = dateMs - nowMs;
  }

  now(): number {
    return this.#now;
  }
  date(): number {
    return this.#now + this.#dateAheadMs;
  }
  at(atMs: number, run: () => void): () => void {
    const timer = { atMs, run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }
  soon(run: () => void): void {
    setImmediate(run);
  }

  /** Runs what is due, in order, once each. */
  advance(ms: number): void {
    const untilMs = this.#now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.atMs);
      next.run();
    }
    this.#now = untilMs;
  }

  get timers(): number {
    return this.#timers.size;
  }
}
