import type { Code } from "../errors.ts";
import type { Memory } from "./memory.ts";
import type { SessionRest } from "./rest.ts";
import type { Stream, StreamHandler } from "./stream.ts";

export type GoawayKind = "drain" | "bye" | "error";

/** What a session tells its owner. */
export interface SessionHandler {
  /** The peer opened a stream. Returns who handles it; undefined when the handler has reset it. */
  opened(stream: Stream, fields: Uint8Array): StreamHandler | undefined;
  /** There may be something for `poll` to hand out. Called at most once until the next `poll` (or `tick`). */
  wake(): void;
  /** A datagram of an open stream. */
  datagram(stream: Stream, payload: Uint8Array): void;
  /** The peer suspects the link of another session of ours, in this slot. */
  doubted(slot: number): void;
  /** The peer said GOAWAY. For `error`, `over` follows. */
  goaway(kind: GoawayKind, code: Code, graceMs: number, reason: string): void;
  /** The session has ended: all streams were reset. `poll` may still hand out a GOAWAY that says why. */
  over(code: Code): void;
}

export interface SessionOptions {
  readonly side: "agent" | "relay";
  /** The first windows: what we give the peer on each stream, and what it gives us. Bytes of credit. */
  readonly window: number;
  readonly peerWindow: number;
  /** Streams that the peer may have open at once, and that we may. */
  readonly streams: number;
  readonly peerStreams: number;
  readonly memory: Memory;
  /** What the peer opens is others', whose coming and going is not its fault: it is a relay. */
  readonly passesOn?: boolean;
  /** What the handshake took; 0: not known. */
  readonly tripMs?: number;
  /** Where it was when it came to rest in an earlier process. */
  readonly rest?: SessionRest;
}

/** What the two sides told each other when a session got a new link. */
export interface Resumption {
  /** How many of our counted messages the peer has received. */
  readonly peerReceived: number;
  /** How many of the peer's it knows that we have: its next message on the new link has the number after that. */
  readonly told: number;
  /** What the handshake took; 0: not known. */
  readonly tripMs: number;
}
