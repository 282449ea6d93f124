import type { Code } from "../shared/errors.ts";
import type { SessionKind } from "../shared/kind.ts";

/** What the relay tells its operator. Request lines hold no query and no fields: secrets live there. */
export type RelayEvent =
  | { readonly event: "listening"; readonly url: string }
  | {
      readonly event: "agent";
      readonly name: string;
      /** What its session is for: to serve, or to call (connect, via, egress). */
      readonly kind: SessionKind;
      readonly state: "here" | "resumed" | "gone";
      readonly subject?: string;
      readonly code?: string;
    }
  | {
      readonly event: "request";
      readonly name: string;
      readonly method: string;
      readonly path: string;
      readonly status: number;
      readonly ms: number;
      readonly bytesIn: number;
      readonly bytesOut: number;
    }
  | {
      /** A visitor of another kind than http has left, or was cut off (`code`). */
      readonly event: "stream";
      readonly name: string;
      readonly kind: SessionKind;
      /** Of an agent that called, and what it reached where that was not the tunnel's own origin. */
      readonly subject?: string;
      readonly target?: string;
      readonly ms: number;
      readonly bytesIn: number;
      readonly bytesOut: number;
      readonly code?: Code;
    }
  | { readonly event: "fault"; readonly message: string }
  /** What was told as a fault is over. */
  | { readonly event: "recovered"; readonly message: string };

export interface RelayLog {
  write(event: RelayEvent): void;
}
