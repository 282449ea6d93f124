import type { Kind, SessionKind } from "../kind.ts";

/** Where a link goes (PROTOCOL.md section 1). */
export interface LinkPlace {
  readonly name: string;
  readonly kind: SessionKind;
  /** The id of the session that is to be resumed. */
  readonly session?: string | undefined;
}

/** What an agent asks for before its first link. */
export interface NameWish {
  readonly kind: Kind;
  readonly name?: string | undefined;
  /** The public port, for tcp and udp. */
  readonly port?: number | undefined;
}

export interface GivenName {
  readonly name: string;
  /** For tcp and udp. */
  readonly port?: number | undefined;
}

/** Gives up a dial. `late`: it took too long; otherwise nobody wants it any more. */
export type GiveUp = (why?: "late") => void;
