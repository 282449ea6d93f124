import type { Clock } from "./clock.ts";

const limits = {
  lookEveryMs: 1_000,
  /** A date that has moved by so much more than the timers tells of a sleep: they stand still meanwhile. */
  jumpMs: 2_000,
} as const;

/** Calls `woke` when the machine has slept. Returns what stops it. */
export function watchSleep(clock: Clock, woke: () => void): () => void {
  let aheadMs = clock.date() - clock.now();
  let cancel = (): void => {};
  const look = (): void => {
    const nowAheadMs = clock.date() - clock.now();
    const slept = Math.abs(nowAheadMs - aheadMs) > limits.jumpMs;
    aheadMs = nowAheadMs;
    // First, as who wakes may stop the watch.
    cancel = clock.at(clock.now() + limits.lookEveryMs, look);
    if (slept) woke();
  };
  cancel = clock.at(clock.now() + limits.lookEveryMs, look);
  return () => cancel();
}
