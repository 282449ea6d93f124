const everyMs = 5;

/** How late timers are in this process: what a slow or busy machine adds to whatever is measured meanwhile. */
export class LagMeter {
  worstMs = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor() {
    let dueMs = performance.now() + everyMs;
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      this.worstMs = Math.max(this.worstMs, nowMs - dueMs);
      dueMs = nowMs + everyMs;
    }, everyMs);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
