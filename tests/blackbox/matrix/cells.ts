import type { RelayRuntime } from "../programs/relay.ts";

/** What is carried; the rows of the table in docs/kinds.md. */
export const ways = ["http", "tcp", "tls", "udp", "private", "via", "egress"] as const;
export type Way = (typeof ways)[number];
export const links = ["ws", "sse"] as const;
export type LinkName = (typeof links)[number];
export const runtimes = ["bun", "deno", "workerd"] as const satisfies readonly RelayRuntime[];

/** One cell of the table: `carried`, or the code with which the relay refuses the kind. */
export interface Cell {
  readonly way: Way;
  readonly link: LinkName;
  readonly runtime: RelayRuntime;
  readonly result: string;
}
