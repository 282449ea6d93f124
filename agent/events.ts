import type { Code } from "../shared/errors.ts";

/** An embedded relay accepts visitors. */
export interface ListeningEvent {
  readonly event: "listening";
  readonly url: string;
  readonly embedded: true;
}

/** The tunnel can be visited: once its first session is up, and again after all its links were lost. */
export interface ReadyEvent {
  readonly event: "ready";
  readonly name: string;
  readonly kind: "http";
  /** The address to give away; `urls` has every form of it. */
  readonly url: string;
  readonly urls: readonly string[];
  /** Streams survived the loss. */
  readonly resumed: boolean;
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

/** A stream of another kind ended. */
export interface StreamEvent {
  readonly event: "stream";
  readonly kind: "tcp";
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly end: "closed" | "reset";
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
export function eventLine(event: AgentEvent): string {
  return `${JSON.stringify(event)}\n`;
}
