import type { Origins } from "../origins.ts";
import type { Site } from "../site.ts";

/**
 * What a visitor speaks, and which origin is behind it. `web`, `sink` and `chat` go by host, over HTTP; `tcp` and
 * `stream` are bare bytes at a port of their own: the web origin once more, and an iperf3.
 */
export type Way = "web" | "sink" | "chat" | "tcp" | "stream";

/** A way from a visitor to the origins. To add one: a file here, and a line in lineup.ts. */
export interface Contender {
  readonly name: string;
  /** What it is and how it is set up, for the report. One sentence. */
  readonly about: string;
  /** What it can carry: it sits out the workloads of other ways. */
  readonly ways: readonly Way[];
  /** Why it can't take part here ("nginx is not installed"), or undefined. */
  absent(): Promise<string | undefined>;
  start(course: Course): Promise<Running>;
}

/** Between what a contender is put. */
export interface Course {
  readonly site: Site;
  readonly origins: Origins;
  /** Those that will be asked for, each one of the contender's own. */
  readonly ways: readonly Way[];
}

export interface Running {
  readonly targets: Targets;
  stop(): Promise<void>;
}

export type Targets = Readonly<Partial<Record<Way, Target>>>;

/** Where visitors go to reach one of the origins. */
export interface Target {
  readonly host: string;
  readonly port: number;
  /** The Host that visitors send. */
  readonly authority: string;
  /** The contender's own processes on this way, whose costs are counted, with those that they start themselves. */
  readonly processes: readonly { readonly role: string; readonly pid: number }[];
}
