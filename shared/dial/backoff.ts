export interface BackoffOptions {
  /** No wait is longer, but for what a relay asks for. */
  readonly maxDelayMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** The first redial comes within this: a relay that restarts meets its agents spread over it. */
const firstDelayMs = 250;
const baseDelayMs = 250;

/**
 * How long to wait before the next dial: the first within 250 ms, then full jitter, uniform in 0 to 250 ms doubled with
 * each try, so that many agents do not come at once. Pure.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  #tries = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /**
   * Milliseconds to wait now. `atLeastMs` is the relay's hint (Retry-After): the wait is drawn on top of it, since all
   * agents get the same hint.
   */
  next(atLeastMs = 0): number {
    const { maxDelayMs, random } = this.#options;
    const tries = this.#tries++;
    // 2 ** 1024 is Infinity, and the cap holds.
    const spanMs = tries === 0 ? firstDelayMs : baseDelayMs * 2 ** tries;
    return Math.max(0, atLeastMs) + random() * Math.min(maxDelayMs, spanMs);
  }

  /** There was progress: a session came up. */
  succeeded(): void {
    this.#tries = 0;
  }
}
