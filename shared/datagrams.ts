/**
 * A UDP socket of the platform, push style. Implementations stand in `runtimes/`; all pass
 * tests/conformance/datagrams.test.ts. Nothing here throws for what others on the network did, and no event comes from
 * inside a call.
 */
export interface DatagramSocket {
  /** Where it is bound. */
  readonly host: string;
  readonly port: number;
  /**
   * Sends one datagram of at most 65,507 bytes, which must not change after: to `remote` (`address:port`, IPv6 in
   * brackets), or where the socket is connected to. Datagrams leave in order; those that the system does not take in
   * time are dropped, the oldest first. Ignored after `close`.
   */
  send(bytes: Uint8Array, remote?: string): void;
  /** Nothing comes after. Idempotent. */
  close(): void;
}

/** Why a datagram did not arrive, where the network tells: nobody listens there, or there is no way. */
export type DatagramFailure = "refused" | "unreachable" | "failed";

export interface DatagramHandler {
  /**
   * A datagram came, whole; its bytes are this handler's to keep. `remote`: from whom, `address:port`, IPv6 in
   * brackets; an IPv4 address that came to an IPv6 socket as plain IPv4.
   */
  message(bytes: Uint8Array, remote: string): void;
  /** Of a connected socket: something that was sent did not arrive. It may be used further. Not every platform tells. */
  failed?(reason: DatagramFailure): void;
}

export interface DatagramOptions {
  /** The own address; any, where absent. `::` takes IPv4 too. */
  readonly host?: string;
  /** The own port; 0, or absent: a free one. */
  readonly port?: number;
  /** Another process may be bound there too: the one before or after this one. Not on Deno. */
  readonly reusePort?: boolean;
  /** Connects the socket: datagrams go there, and come from there only. Names are looked up, IPv4 first. */
  readonly remote?: { readonly host: string; readonly port: number };
}

/**
 * Opens a socket. Rejects with UnderpassError: `port-in-use` when it can't be bound, `origin-not-found` when the remote's
 * name has no address, `origin-unreachable` when there is no way to it, `stream-failed` when the system has no more.
 */
export type OpenDatagrams = (options: DatagramOptions, handler: DatagramHandler) => Promise<DatagramSocket>;
