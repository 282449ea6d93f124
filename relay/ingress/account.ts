import type { Clock } from "../../shared/clock.ts";
import type { RelayLog } from "../log.ts";
import type { Metrics } from "../metrics.ts";

/** An exchange that is over, whatever kind of ingress it came by. */
export interface Account {
  readonly name: string;
  readonly method: string;
  /** As the origin saw it. */
  readonly target: string;
  readonly startedMs: number;
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** It has a stream, or had one: it did not wait in vain. */
  readonly opened: boolean;
}

/** Counts and logs an exchange that was opened, or waited. The query stays out of the log: secrets live there. */
export function account(
  to: { readonly metrics: Metrics; readonly log: RelayLog; readonly clock: Clock },
  exchange: Account,
): void {
  const { metrics, log, clock } = to;
  const { name, method, target, status, bytesIn, bytesOut } = exchange;
  const ms = clock.now() - exchange.startedMs;
  if (exchange.opened) metrics.streamsOpen--;
  metrics.bytesIn += bytesIn;
  metrics.bytesOut += bytesOut;
  metrics.answered(status, ms);
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  log.write({ event: "request", name, method, path, status, ms, bytesIn, bytesOut });
}
