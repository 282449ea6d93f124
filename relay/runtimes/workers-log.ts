import type { RelayEvent } from "../log.ts";

/** A tunnel's object has come to life, for the first time or after a sleep. */
export interface ObjectEvent {
  readonly event: "object";
  readonly name: string;
  readonly state: "awake";
  /** What goes on where it was; `gone`: links whose sessions had something under way when it ended. */
  readonly sessions: number;
  readonly links: number;
  readonly gone: number;
}

/** One JSON object a line: what `wrangler tail` and Workers Logs take apart by member. */
export const consoleLog = {
  write(event: RelayEvent | ObjectEvent): void {
    console.log(JSON.stringify(event));
  },
};
