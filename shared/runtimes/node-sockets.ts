import net from "node:net";
import tls from "node:tls";
import type { Dial, DialHandler, DialTarget, Listen, Socket, SocketHandler, StartTls } from "../socket.ts";
import { GatheredWrites, type SystemEnd } from "./gathered-writes.ts";
import { addressText, dialFailure, listenFailure } from "./socket-facts.ts";

const keepAliveAfterMs = 60_000;

/** A peer that opened a TLS socket and then says nothing must not hold it. */
const acceptHandshakeTimeoutMs = 10_000;

/** Node knows this for TLS too; its types don't. */
const halfOpen: object = { allowHalfOpen: true };

const deaf: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };

/**
 * `Socket` over `node:net` and `node:tls`, for Deno (and, slower than bun-sockets.ts, Bun). Node keeps what the system
 * does not accept and tells how much by `writableLength`.
 */
class NodeSocket implements Socket, SystemEnd {
  handler: SocketHandler = deaf;
  readonly remote: string;
  readonly local: string;
  readonly #raw: net.Socket;
  /** Written in this turn. It counts as gone, so that not every small write brings a `drained`. */
  readonly #gathered = new GatheredWrites(this);
  #wasQueued = false;
  #ending = false;
  #finished = false;
  #peerEnded = false;
  #destroyed = false;
  #broken = false;

  constructor(raw: net.Socket) {
    this.#raw = raw;
    raw.setNoDelay(true);
    // A far end that vanished without a word is noticed by the system in the end.
    raw.setKeepAlive(true, keepAliveAfterMs);
    this.remote = addressText(raw.remoteAddress, raw.remotePort);
    this.local = addressText(raw.localAddress, raw.localPort);
    raw.on("data", (bytes: Uint8Array) => {
      if (!this.#destroyed) this.handler.data(bytes);
    });
    raw.on("end", () => {
      this.#peerEnded = true;
      if (!this.#destroyed) this.handler.ended();
    });
    raw.on("finish", () => {
      this.#finished = true;
    });
    raw.on("error", () => {
      this.#broken = true;
    });
    if (!(raw instanceof tls.TLSSocket)) {
      resetOnFault(raw, () => {
        this.#broken = true;
      });
    }
    raw.on("close", () => {
      const orderly = this.#finished && this.#peerEnded && !this.#broken;
      this.handler.closed({ reset: !this.#destroyed && !orderly });
    });
  }

  get queued(): number {
    return this.#raw.writableLength;
  }

  /** Called by Node when one write has wholly gone to the system. */
  readonly #gone = (): void => {
    if (this.#wasQueued && !this.#destroyed && !this.#broken) {
      this.#wasQueued = this.#raw.writableLength > 0;
      this.handler.drained();
    }
  };

  write(bytes: Uint8Array): number {
    if (this.#ending || this.#broken || bytes.length === 0) return this.#raw.writableLength;
    this.#gathered.add(bytes);
    return this.#raw.writableLength;
  }

  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#gathered.flush();
    this.#raw.end();
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#ending = true;
    this.#gathered.flush();
    const below = this.#raw instanceof tls.TLSSocket ? socketBelow(this.#raw) : this.#raw;
    // Without one there is no RST: the far end misses TLS's own goodbye (RFC 8446 section 6.1).
    if (below === undefined) this.#raw.destroy();
    else below.resetAndDestroy();
  }

  /** Gives what lies beneath to whoever speaks TLS on it; this one is over and silent. */
  surrender(): net.Socket {
    this.#gathered.flush();
    if (this.#ending || this.#raw.writableLength > 0) {
      this.destroy();
      throw new Error("The socket is not open, or bytes are queued in it.");
    }
    this.handler = deaf;
    this.#ending = true;
    this.#destroyed = true;
    this.#raw.removeAllListeners("data");
    return this.#raw;
  }

  toSystem(bytes: Uint8Array, length: number): void {
    if (this.#broken) return;
    // Node keeps what it is given.
    this.#raw.write(length === bytes.length ? bytes : bytes.slice(0, length), this.#gone);
    if (this.#raw.writableLength > 0) this.#wasQueued = true;
  }

  pause(): void {
    this.#raw.pause();
  }

  resume(): void {
    this.#raw.resume();
  }
}

/**
 * With a fault what was queued is lost, and Node then closes in order: what came before could pass for all of it. So it is made
 * a reset; `told` first. (Deno 2.9.6 has such a fault whenever the far end half-closes while a write is pending.)
 */
function resetOnFault(raw: net.Socket, told: () => void): void {
  const { destroy } = raw;
  raw.destroy = (error) => {
    raw.destroy = destroy;
    if (error === undefined || error === null) return raw.destroy();
    told();
    return raw.resetAndDestroy();
  };
}

/** The TCP socket beneath an accepted TLS socket, where the runtime shows it. Node's types don't. */
function socketBelow(secure: tls.TLSSocket): net.Socket | undefined {
  const below: unknown = "_parent" in secure ? secure._parent : undefined;
  return below instanceof net.Socket ? below : undefined;
}

/** `localhost` is loopback in both families (RFC 6761 section 6.3), whatever the hosts file says. */
const lookupLocalhost: net.LookupFunction = (_host, _options, found) => {
  found(null, [
    { address: "127.0.0.1", family: 4 },
    { address: "::1", family: 6 },
  ]);
};

/** Opens sockets by `net.connect` and `tls.connect`. */
export const dial: Dial = (target, timeoutMs, handler) => {
  const { host = "", port = 0, unix } = target;
  const local = host === "localhost" ? { lookup: lookupLocalhost } : {};
  const place = unix === undefined ? { host, port, autoSelectFamily: true, ...local } : { path: unix };
  const raw: net.Socket = target.tls
    ? tls.connect({ ...place, ...tlsOptions(target.tls) })
    : net.connect({ ...(place as net.NetConnectOpts), allowHalfOpen: true });
  return opening(raw, { isTls: target.tls !== undefined, timeoutMs, handler, giveUp: () => raw.destroy() });
};

/** TLS on a socket that `dial` has opened. */
export const startTls: StartTls = (socket, target, timeoutMs, handler) => {
  if (!(socket instanceof NodeSocket)) throw new TypeError("startTls is for sockets of this file's dial");
  const below = socket.surrender();
  const raw = tls.connect({ socket: below, host: target.serverName, ...tlsOptions(target) });
  const giveUp = (): void => {
    raw.destroy();
    below.destroy();
  };
  return opening(raw, { isTls: true, timeoutMs, handler, giveUp });
};

function tlsOptions({ serverName, insecure }: NonNullable<DialTarget["tls"]>): tls.ConnectionOptions {
  return {
    ...halfOpen,
    rejectUnauthorized: !insecure,
    // An address is no server name (RFC 6066 section 3), but it is what the certificate is checked against.
    ...(net.isIP(serverName) === 0 && { servername: serverName }),
  };
}

/** Tells the handler how the opening of a socket ends. Returns what gives it up. */
function opening(
  raw: net.Socket,
  {
    isTls,
    timeoutMs,
    handler,
    giveUp,
  }: {
    readonly isTls: boolean;
    readonly timeoutMs: number;
    readonly handler: DialHandler;
    giveUp(): void;
  },
): () => void {
  let over = false;
  const settle = (): boolean => {
    if (over) return false;
    over = true;
    clearTimeout(timer);
    return true;
  };
  const early = (error: Error): void => {
    // An error of TLS itself has no code of the system's; after the TCP socket is open, all are TLS's.
    const known = dialFailure(error);
    const reason = isTls && (known === "failed" || raw.remoteAddress !== undefined) ? "tls" : known;
    giveUp();
    if (settle()) handler.failed(reason, error.message);
  };
  const closed = (): void => {
    if (settle()) handler.failed(isTls ? "tls" : "failed", "Closed by the far end during the opening.");
  };
  raw.once(isTls ? "secureConnect" : "connect", () => {
    if (!settle()) return;
    raw.off("error", early);
    raw.off("close", closed);
    handler.opened(new NodeSocket(raw));
  });
  raw.on("error", early);
  raw.on("close", closed);
  const timer = setTimeout(() => {
    if (settle()) handler.failed("timeout", `No answer within ${timeoutMs} ms.`);
    giveUp();
  }, timeoutMs);
  return () => {
    if (settle()) giveUp();
  };
}

/** Accepts sockets by `net.createServer` and `tls.createServer`. */
export const listen: Listen = (options, accept) =>
  new Promise((resolve, reject) => {
    const taken = (raw: net.Socket): void => accept(new NodeSocket(raw));
    let listener: net.Server;
    try {
      listener = options.tls
        ? tls.createServer({ ...options.tls, ...halfOpen, handshakeTimeout: acceptHandshakeTimeoutMs }, taken)
        : net.createServer({ allowHalfOpen: true, noDelay: true }, taken);
    } catch (cause) {
      // A certificate that can't be read.
      reject(listenFailure(options, cause));
      return;
    }
    // Failed handshakes of strangers; nobody was told of them yet.
    listener.on("tlsClientError", () => {});
    listener.once("error", (cause) => {
      reject(listenFailure(options, cause));
    });
    const { host, port, reusePort } = options;
    listener.listen({ host, port, ...(reusePort === true && { reusePort: true }) }, () => {
      listener.on("error", () => {
        // Out of descriptors, say: one socket was not accepted; the listener goes on.
      });
      const address = listener.address();
      const bound = typeof address === "object" && address !== null ? address.port : port;
      resolve({ host, port: bound, close: () => void listener.close() });
    });
  });
