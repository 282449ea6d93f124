import type { Code } from "../errors.ts";
import type { Memory } from "./memory.ts";
import type { Stream } from "./stream.ts";

/** Who receives what a stream brings. Nothing is called after `reset`, or after one's own `reset()`. */
export interface StreamHandler {
  /** A HEAD frame's head fields, still encoded (shared/head.ts). */
  head(fields: Uint8Array): void;
  /** DATA, a view into its message; `stream.held(n)` tells when it has left. Who keeps a small piece long copies it. */
  data(bytes: Uint8Array): void;
  /** The peer's direction is complete. */
  end(): void;
  /** After `end`: whoever opened the stream has closed his sending side too, and may be gone. At most once. */
  left(): void;
  /** Both directions are over. `no-error` after an `end`: the peer's answer stands, it wants no more of ours. */
  reset(code: Code): void;
  /** The queue has fallen below its low mark after `write` had returned false. */
  writable(): void;
  /** A datagram came, a view into its message. Only on streams of kind udp. */
  datagram?(payload: Uint8Array): void;
}

/** What a stream needs of its session. */
export interface StreamHost {
  readonly options: { readonly memory: Memory };
  /** The stream has something to send. */
  ready(stream: Stream): void;
  /** The stream's OPEN has been written. */
  announced(stream: Stream): void;
  /** The stream wants to raise the peer's limit. */
  credit(stream: Stream): void;
  /** The stream has a datagram to send. false: there is no link. */
  sendDatagram(stream: Stream, payload: Uint8Array): boolean;
  /** Frees the stream; with a code, a RESET is sent for it if its OPEN has left. */
  close(stream: Stream, resetWith?: Code): void;
}

/** Takes the place of a handler that is to hear nothing more, or is not there yet. */
export const silentHandler: StreamHandler = {
  head() {},
  data() {},
  end() {},
  left() {},
  reset() {},
  writable() {},
};
