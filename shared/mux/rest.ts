/** The ids of streams so far (PROTOCOL.md section 4). */
export interface StreamIds {
  /** Of the next stream that this side opens. */
  readonly nextId: number;
  /** Of the last OPEN that was written. */
  readonly highestOwnId: number;
  /** Of the last OPEN that was read. */
  readonly highestPeerId: number;
}

/** All that a session at rest is: with it, it goes on in another process as if nothing had been. Plain data. */
export interface SessionRest extends StreamIds {
  /** Counted messages that were sent, all acknowledged, and that came, all told. */
  readonly sent: number;
  readonly received: number;
  /** As in `SessionOptions`. */
  readonly peerWindow: number;
  readonly peerStreams: number;
  readonly tripMs: number;
}
