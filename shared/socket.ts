/**
 * A live pipe of bytes to the network (TCP, TLS, unix), push style: no promises and no stream objects on the hot path.
 * Implementations stand in `runtimes/`; all pass tests/conformance/socket.test.ts. Nothing here throws for what the
 * peer did. Events never come from inside a call to write, end, destroy, pause or resume.
 */
export interface Socket {
  /** Who receives the events. Set at once by whoever gets the socket, and changed when it is handed on. */
  handler: SocketHandler;
  /**
   * Takes all of `bytes`, and keeps what the system does not accept at once. The caller must not change them after.
   * Returns `queued`: at 0, bytes of 16 KiB or more are the caller's again. A small rest is copied, so a view never pins a large buffer. Ignored after end or destroy.
   */
  write(bytes: Uint8Array): number;
  /** Bytes written that the system has not accepted yet. */
  readonly queued: number;
  /** Half-close: FIN (TLS: close_notify) once all that is queued has gone. Reading goes on. Idempotent. */
  end(): void;
  /** Ends both directions now and drops what is queued (not what was written and counts as gone); `closed` follows. RST where the platform can. Idempotent. */
  destroy(): void;
  /** No `data` after this until `resume`, save what is being delivered; TCP then slows the sender. Idempotent. */
  pause(): void;
  resume(): void;
  /** `address:port` of the far end, IPv6 in brackets; "" for a unix socket. */
  readonly remote: string;
  /** The same of this end. */
  readonly local: string;
}

export interface SocketHandler {
  /** Bytes came. They are this handler's to keep. */
  data(bytes: Uint8Array): void;
  /** Some of what was queued has gone: look at `queued` again. At least once after each time `queued` rose above 0. */
  drained(): void;
  /** The peer half-closed: no more data comes. Writing is still possible. At most once. */
  ended(): void;
  /** Gone in both directions; nothing comes after. Exactly once. `reset`: not an orderly end (RST, broken TLS). */
  closed(reason: { readonly reset: boolean }): void;
}

export interface DialTarget {
  /** Host name or address, without brackets; or absent where `unix` is given. */
  readonly host?: string;
  readonly port?: number;
  /** Path of a unix socket. */
  readonly unix?: string;
  /** Speak TLS. `insecure` accepts any certificate. */
  readonly tls?: { readonly serverName: string; readonly insecure: boolean };
}

/** `no-socket`: the platform gives no more of them now. */
export type DialFailure =
  | "refused"
  | "unreachable"
  | "not-found"
  | "tls"
  | "timeout"
  | "no-socket"
  | "failed";

export interface DialHandler {
  /** Open (TLS handshake done). Set `socket.handler` before returning. */
  opened(socket: Socket): void;
  /** Nothing was opened. Exactly one of the two is called, never from inside `dial`. */
  failed(reason: DialFailure, detail: string): void;
}

/** Opens sockets. TCP_NODELAY is on for all. Returns a function that gives up (then `failed` is not called). */
export type Dial = (target: DialTarget, timeoutMs: number, handler: DialHandler) => () => void;

/**
 * Speaks TLS on a socket that was dialled and is open (a proxy's CONNECT has been answered), and takes it over: its old
 * handler hears nothing more, and `opened` brings another socket. Nothing may be queued in it. Else as Dial.
 */
export type StartTls = (
  socket: Socket,
  tls: NonNullable<DialTarget["tls"]>,
  timeoutMs: number,
  handler: DialHandler,
) => () => void;

export interface Listener {
  /** The bound address and the port that was really taken. */
  readonly host: string;
  readonly port: number;
  /** Stops accepting. Sockets that are open stay. */
  close(): void;
}

export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** PEM texts. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Several processes may share the port (rolling restart). */
  readonly reusePort?: boolean;
}

/** Accepts sockets; sets up `handler` inside `accept`. Rejects with UnderpassError `port-in-use` when it can't bind. */
export type Listen = (options: ListenOptions, accept: (socket: Socket) => void) => Promise<Listener>;
