import type { Code } from "../../shared/errors.ts";
import type { Kind } from "../../shared/kind.ts";
import type { TransportName } from "../../shared/link.ts";
import type { FleetEvent } from "../fleet/event.ts";

/** An embedded relay accepts visitors. */
export interface ListeningEvent {
  readonly event: "listening";
  readonly url: string;
  readonly embedded: true;
  /** Other machines can reach it. */
  readonly lan?: boolean;
}

/**
 * The tunnel can be visited: once its first session is up, and again after all its links were lost. Of connect, proxy
 * and forward: this machine can be called at `url`.
 */
export interface ReadyEvent {
  readonly event: "ready";
  /** Of the tunnel that is served or reached; absent where there is none (forward, and proxy without --via). */
  readonly name?: string;
  readonly kind: Kind | "connect" | "proxy" | "forward";
  /** The address to give away; `urls` has every form of it. `stdio:` where `connect --stdio` is the only way in. */
  readonly url: string;
  readonly urls: readonly string[];
  /** What it leads to, for people: the origin, or what is reached. */
  readonly to?: string;
  /** Streams survived the loss. */
  readonly resumed: boolean;
  /** Of a private tunnel at an embedded relay: what `connect` needs to reach it. */
  readonly connect?: { readonly relay: string; readonly tokenFile: string };
}

/** The state of one link changed. */
export interface LinkEvent {
  readonly event: "link";
  /** Its slot, from 0. */
  readonly link: number;
  readonly state: "up" | "suspect" | "lost";
  /** Dials since the last time it was up; 0 where it is up. */
  readonly attempt: number;
  /** Time to the next dial; 0 where none is planned. */
  readonly delayMs: number;
  /** Over what it goes, where it is up. */
  readonly transport?: TransportName;
  /** Where it goes, or was to go, where the agent knows several relays: scheme, host and port. */
  readonly relay?: string;
}

/** An HTTP exchange ended. */
export interface RequestEvent {
  readonly event: "request";
  readonly method: string;
  readonly path: string;
  /** What the visitor got: the origin's, 101 for an upgrade, else what the code of the failure becomes (0: visitor gone before). */
  readonly status: number;
  readonly ms: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Why it ended, where it did not end well. */
  readonly code?: Code;
}

/** A stream of another kind ended. `egress`: what `proxy --via` reached from here. */
export interface StreamEvent {
  readonly event: "stream";
  readonly kind: Exclude<Kind, "http"> | "connect" | "proxy" | "forward" | "egress";
  /** `HOST:PORT` that was reached, where the opener chose it (proxy, egress). */
  readonly target?: string;
  /** From whoever opened it towards the origin. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly end: "closed" | "reset";
  /** Why it did not end well, or was never opened. */
  readonly code?: Code;
}

/** Something failed; `fatal`: the agent ends with it. */
export interface ErrorEvent {
  readonly event: "error";
  readonly code: Code;
  readonly message: string;
  readonly fatal: boolean;
}

/** What `--json` prints and `expose` reports. The names are the outside contract: add members, never change one. */
export type AgentEvent = ListeningEvent | ReadyEvent | LinkEvent | RequestEvent | StreamEvent | ErrorEvent;

/** One line of `--json`, with its newline. Newlines and controls inside are escaped by JSON. */
export function eventLine(event: FleetEvent): string {
  return `${JSON.stringify(event)}\n`;
}
