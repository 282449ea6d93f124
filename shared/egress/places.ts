/** A number of places that several owners share: who finds none waits, and the owners take turns. */
export class Places {
  readonly #max: number;
  readonly #maxOfOne: number;
  #taken = 0;
  readonly #takenBy = new Map<unknown, number>();
  readonly #waiting = new Map<unknown, Set<() => void>>();

  constructor(max: number, maxOfOne: number) {
    this.#max = max;
    this.#maxOfOne = maxOfOne;
  }

  /** Calls `run` once `owner` has a place, which may be at once. Returns what gives the place back, or gives up waiting. */
  take(owner: unknown, run: () => void): () => void {
    let held: "waiting" | "taken" | "left" = "waiting";
    const enter = (): void => {
      held = "taken";
      this.#taken++;
      this.#takenBy.set(owner, this.#of(owner) + 1);
      run();
    };
    if (this.#isRoom(owner)) enter();
    else this.#queueOf(owner).add(enter);
    return () => {
      if (held === "waiting") this.#forget(owner, enter);
      else if (held === "taken") this.#leave(owner);
      held = "left";
    };
  }

  get taken(): number {
    return this.#taken;
  }

  #of(owner: unknown): number {
    return this.#takenBy.get(owner) ?? 0;
  }

  #isRoom(owner: unknown): boolean {
    return this.#taken < this.#max && this.#of(owner) < this.#maxOfOne;
  }

  #queueOf(owner: unknown): Set<() => void> {
    const queue = this.#waiting.get(owner) ?? new Set();
    this.#waiting.set(owner, queue);
    return queue;
  }

  #forget(owner: unknown, enter: () => void): void {
    const queue = this.#waiting.get(owner);
    queue?.delete(enter);
    if (queue?.size === 0) this.#waiting.delete(owner);
  }

  #leave(owner: unknown): void {
    this.#taken--;
    const left = this.#of(owner) - 1;
    if (left > 0) this.#takenBy.set(owner, left);
    else this.#takenBy.delete(owner);
    for (const [next, queue] of this.#waiting) {
      if (!this.#isRoom(next)) continue;
      const [enter] = queue;
      if (enter === undefined) continue;
      // Behind all others, so that it is their turn next.
      this.#waiting.delete(next);
      queue.delete(enter);
      if (queue.size > 0) this.#waiting.set(next, queue);
      enter();
      return;
    }
  }
}
