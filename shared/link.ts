/** Over what a link between machines goes: a WebSocket, or server-sent events and POSTs. */
export type TransportName = "ws" | "sse";

/**
 * One live pipe that carries a session's messages: order kept, messages whole, and it can die at any time. One file per
 * transport in links/. Push style. Nothing here throws for what the peer did.
 */
export interface Link {
  /** Who receives the events; set at once by whoever gets the link. */
  handler: LinkHandler;
  /** Absent: it leaves no process. */
  readonly transport?: TransportName;
  /** Takes a binary message, and a copy of it: the bytes are the caller's again. Ignored once closed. */
  send(message: Uint8Array): void;
  /** Takes a text message (liveness). */
  sendText(text: string): void;
  /** Where the platform puts processes to sleep and keeps the pipe: keeps plain data with it, in place of what was kept. */
  attach?(value: unknown): void;
  /** The same: when the platform last answered a ping by itself (as in `Clock.date()`); undefined: it never did. */
  readonly answeredMs?: number | undefined;
  /** Bytes taken that have not left for the network yet; 0 where the platform can't tell. */
  readonly queued: number;
  /** Closes in order (what was taken is still sent, within a short time), then `closed` follows. Idempotent. */
  close(code: number, reason: string): void;
  /** Drops the link now. `closed` follows. Idempotent. */
  destroy(): void;
}

export interface LinkHandler {
  /** A sign of life: bytes came, maybe no whole message yet. Before `message` and `text`. */
  heard(): void;
  /** A whole binary message, this handler's to keep. */
  message(bytes: Uint8Array): void;
  text(text: string): void;
  /** Some of what was queued has gone: look at `queued` again. */
  drained(): void;
  /** Over; nothing comes after. Exactly once. `code` as in RFC 6455 section 7.4, 1006 when the pipe just broke. */
  closed(code: number, reason: string): void;
}

/** Hears nothing. */
export const deafLinkHandler: LinkHandler = {
  heard() {},
  message() {},
  text() {},
  drained() {},
  closed() {},
};
