import type { Clock } from "../../shared/clock.ts";
import type { FetchPlatform } from "../ingress/fetch-platform.ts";

/** Timers overflow above this. */
const maxTimerMs = 2_147_483_647;

/**
 * workerd's time stands still while code runs, and `performance.now()` is the date: so the date serves for both.
 *
 * It has no end of a turn to wait for. The first `soon` of a millisecond is a microtask, so that a lone request does
 * not wait; those that follow in it are gathered by a timer of 0. Measured with 32 visitors: 3,500 requests/s against
 * 2,100 with microtasks alone (p99 32 against 100 ms) and 3,000 with timers alone, which cost one visitor 15 %.
 */
export function workersClock(): Clock {
  let quickMs = 0;
  return {
    now: () => Date.now(),
    date: () => Date.now(),
    at(atMs, run) {
      const timer = setTimeout(run, Math.min(maxTimerMs, Math.max(0, Math.ceil(atMs - Date.now()))));
      return () => clearTimeout(timer);
    },
    soon(run) {
      const nowMs = Date.now();
      if (nowMs === quickMs) {
        setTimeout(run, 0);
        return;
      }
      quickMs = nowMs;
      queueMicrotask(run);
    },
  };
}

export const workersPlatform: FetchPlatform = {
  bodyPipe: (length) =>
    length === undefined ? new IdentityTransformStream() : new FixedLengthStream(length),
  respond: (body, status, statusText, headers) =>
    new Response(body, { status, statusText, headers, encodeBody: "manual" }),
  upgrade(headers) {
    const pair = new WebSocketPair();
    pair[1].accept();
    return { socket: pair[1], response: new Response(null, { status: 101, headers, webSocket: pair[0] }) };
  },
};
