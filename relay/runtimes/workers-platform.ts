import type { Clock } from "../../shared/clock.ts";
import type { FetchPlatform } from "../ingress/fetch-platform.ts";

/** Timers overflow above this. */
const maxTimerMs = 2_147_483_647;

/**
 * workerd's time stands still while code runs, and `performance.now()` is the date: so the date serves for both.
 */
export const workersClock: Clock = {
  now: () => Date.now(),
  date: () => Date.now(),
  at(atMs, run) {
    const timer = setTimeout(run, Math.min(maxTimerMs, Math.max(0, Math.ceil(atMs - Date.now()))));
    return () => clearTimeout(timer);
  },
  soon: (run) => queueMicrotask(run),
};

export const workersPlatform: FetchPlatform = {
  bodyPipe: (length) => (length === undefined ? new IdentityTransformStream() : new FixedLengthStream(length)),
  respond: (body, status, statusText, headers) =>
    new Response(body, { status, statusText, headers, encodeBody: "manual" }),
  upgrade(headers) {
    const pair = new WebSocketPair();
    pair[1].accept();
    return { socket: pair[1], response: new Response(null, { status: 101, headers, webSocket: pair[0] }) };
  },
};
