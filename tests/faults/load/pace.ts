/** Steps by which bodies and messages are sent, so that a load lasts; over when it is told to hurry. */
export class Pace {
  #hurry = false;
  readonly #waits = new Set<() => void>();

  /** Resolves after a while between half and one and a half of `meanMs`, or at once when there is no time left. */
  step(meanMs: number): Promise<void> {
    if (this.#hurry) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waits.delete(done);
        resolve();
      };
      // Random, so that 200 exchanges do not march in step and leave the links empty in between.
      const timer = setTimeout(done, meanMs * (0.5 + Math.random()));
      this.#waits.add(done);
    });
  }

  get hurries(): boolean {
    return this.#hurry;
  }

  /** No more pauses: what is open is to end soon. */
  hurry(): void {
    this.#hurry = true;
    for (const done of [...this.#waits]) done();
  }
}
