import { drainMicrotasks } from "bun:jsc";

/** What is to happen at a time. Cancelled when it has nothing to run. */
export interface Happening {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** A rule was broken: the run ends with it. */
export class Violation extends Error {}

const worldLimits = {
  /** Without any time passing: more means that two ends chase each other. */
  maxPerInstant: 50_000,
} as const;

/**
 * Virtual time, and all that is to happen in it, in one fixed order: by time, then by who asked first. Everything runs
 * in this thread and at once, promises included, so that a run is the same each time.
 */
export class World {
  nowMs = 0;
  /** How much has happened. */
  steps = 0;
  /** A digest of all that was noted: two runs of one seed must agree. */
  trace = 0;
  /** The first rule that was broken: whoever threw, the throw may have been lost in a promise. */
  #failure: Violation | undefined;
  #order = 0;
  #perInstant = 0;
  readonly #heap: Happening[] = [];
  #turnEnds: (() => void)[] = [];

  /** Happenings that are not cancelled or done, to be looked for in a leak. */
  get waiting(): number {
    return this.#heap.reduce((sum, { run }) => sum + (run === undefined ? 0 : 1), 0);
  }

  at(atMs: number, run: () => void): Happening {
    const happening = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, run };
    const heap = this.#heap;
    let place = heap.length;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(happening, above)) break;
      heap[place] = above;
      place = parent;
    }
    heap[place] = happening;
    return happening;
  }

  /** Once all that happens at this instant has happened. */
  atTurnEnd(run: () => void): void {
    this.#turnEnds.push(run);
  }

  /** A rule is broken: the run is over. */
  fail(what: string): never {
    this.#failure ??= new Violation(`${what} (at ${this.nowMs.toFixed(1)} ms)`);
    throw this.#failure;
  }

  /** Adds numbers to the digest (murmur3's mixing). */
  note(...values: readonly number[]): void {
    let hash = this.trace;
    for (const value of values) {
      let mixed = Math.imul(value | 0, 0xcc9e2d51);
      mixed = (mixed << 15) | (mixed >>> 17);
      hash ^= Math.imul(mixed, 0x1b873593);
      hash = (hash << 13) | (hash >>> 19);
      hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
    }
    this.trace = hash;
  }

  /** Runs the next turn: all that happens at the next instant. false: nothing is left, or it is after `untilMs`. */
  turn(untilMs = Number.POSITIVE_INFINITY): boolean {
    let happening = this.#next();
    if (happening === undefined || happening.atMs > untilMs) return false;
    const atMs = happening.atMs;
    if (atMs > this.nowMs) {
      this.nowMs = atMs;
      this.#perInstant = 0;
    }
    while (happening !== undefined && happening.atMs === atMs) {
      this.#remove();
      const { run } = happening;
      happening.run = undefined;
      run?.();
      this.settle();
      happening = this.#next();
    }
    while (this.#turnEnds.length > 0) {
      const ends = this.#turnEnds;
      this.#turnEnds = [];
      for (const end of ends) {
        end();
        this.settle();
      }
    }
    return true;
  }

  /** After each thing that has happened: what it promised happens too. */
  settle(): void {
    drainMicrotasks();
    if (this.#failure !== undefined) throw this.#failure;
    this.steps++;
    if (++this.#perInstant > worldLimits.maxPerInstant)
      this.fail(`livelock: ${this.#perInstant} steps and no time passes`);
  }

  #next(): Happening | undefined {
    let top = this.#heap[0];
    while (top !== undefined && top.run === undefined) {
      this.#remove();
      top = this.#heap[0];
    }
    return top;
  }

  #remove(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    const size = heap.length;
    let place = 0;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= size) break;
      const [left, right] = [heap[child], heap[child + 1]];
      let below = left;
      if (left !== undefined && right !== undefined && isBefore(right, left)) {
        child++;
        below = right;
      }
      if (below === undefined || !isBefore(below, last)) break;
      heap[place] = below;
      place = child;
    }
    heap[place] = last;
  }
}

function isBefore(one: Happening, two: Happening): boolean {
  return one.atMs < two.atMs || (one.atMs === two.atMs && one.order < two.order);
}
