import type { Origins } from "../origins.ts";

/** A way from a visitor to the origins. To add one: a file here, and a line in lineup.ts. */
export interface Contender {
  readonly name: string;
  /** What it is and how it is set up, for the report. One sentence. */
  readonly about: string;
  /** Why it can't take part here ("nginx is not installed"), or undefined. */
  absent(): Promise<string | undefined>;
  start(origins: Origins): Promise<Running>;
}

export interface Running {
  readonly web: Target;
  readonly sink: Target;
  stop(): Promise<void>;
}

/** Where visitors go to reach one of the origins. */
export interface Target {
  readonly host: string;
  readonly port: number;
  /** The Host that visitors send. */
  readonly authority: string;
  /** The contender's own processes on this way, whose costs are counted. */
  readonly processes: readonly { readonly role: string; readonly pid: number }[];
}
