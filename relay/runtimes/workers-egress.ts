import type { connect } from "cloudflare:sockets";
import type { Clock } from "../../shared/clock.ts";
import { EgressDoor } from "../../shared/egress/door.ts";
import type { Gauge } from "../../shared/mux/gauge.ts";
import { WorkersSockets } from "./workers-dial.ts";
import { dnsOverHttps } from "./workers-resolve.ts";

export interface WorkersEgressOptions {
  readonly clock: Clock;
  readonly connect: typeof connect;
  readonly dnsUrl: string;
  /** Counts what waits for the sockets' far ends. */
  readonly held: Gauge;
  /** Whether this relay itself is what is behind a name (lower case, no dot at its end). */
  readonly isOwnName: (name: string) => boolean;
}

/**
 * The way out of an object: TCP alone, as the platform has no datagrams. An object has no addresses of its own that could be told
 * from others: instead of them the relay's names are closed, and the platform closes its own addresses, and private ones.
 */
export function workersEgress({ clock, connect, dnsUrl, held, isOwnName }: WorkersEgressOptions): EgressDoor {
  const sockets = new WorkersSockets(connect, undefined, held);
  const resolve = dnsOverHttps({ url: dnsUrl, ask: (url, init) => fetch(url, init), isOwnName });
  return new EgressDoor({ clock, dial: sockets.dial, resolve, isFull: () => sockets.isFull });
}
