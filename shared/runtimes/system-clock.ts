import type { Clock } from "../clock.ts";

/** Timers of the platform count whole milliseconds and overflow above this. */
const maxTimerMs = 2_147_483_647;

const soonTimer: ((run: () => void) => void) | undefined =
  typeof setImmediate === "function" ? (run) => void setImmediate(run) : undefined;

/**
 * The platform's own time. `at` rounds up, so that `now()` has reached the asked time when `run` is called.
 * A platform without `setImmediate` gets a microtask for `soon`: earlier than the end of the turn, but never re-entrant.
 */
export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  at(atMs, run) {
    const timer = setTimeout(run, Math.min(maxTimerMs, Math.max(0, Math.ceil(atMs - performance.now()))));
    return () => clearTimeout(timer);
  },
  soon: soonTimer ?? ((run) => queueMicrotask(run)),
};
