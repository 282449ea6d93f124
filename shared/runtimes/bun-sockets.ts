import type {
  Dial,
  DialFailure,
  DialHandler,
  DialTarget,
  Listen,
  Socket,
  SocketHandler,
  StartTls,
} from "../socket.ts";
import { GatheredWrites, type SystemEnd } from "./gathered-writes.ts";
import { addressText, dialFailure, listenFailure } from "./socket-facts.ts";
import { WriteQueue } from "./write-queue.ts";

const keepAliveAfterMs = 60_000;

/** A peer that opened a TLS socket and then says nothing must not hold it. */
const acceptHandshakeTimeoutSeconds = 10;

const deaf: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };

/** What waits for a raw socket: told when it is ready for use, or that it never will be. */
interface Birth {
  readonly tls: boolean;
  readonly verify: boolean;
  opened(socket: Socket): void;
  failed(reason: DialFailure, detail: string): void;
}

/**
 * `Socket` over Bun's TCP. Bun's `write` returns what the system accepted and keeps nothing, so the rest stays in a
 * queue here; Bun calls `close` from inside `terminate`, so events that come during a call are put off by a microtask.
 */
class BunSocket implements Socket, SystemEnd {
  handler: SocketHandler = deaf;
  remote = "";
  local = "";
  readonly #queue = new WriteQueue();
  /** Written in this turn. It counts as gone, so that not every small write brings a `drained`. */
  readonly #gathered = new GatheredWrites(this);
  #raw: Bun.Socket<BunSocket> | undefined;
  #birth: Birth | undefined;
  /** `end` was asked for; `#finished`: FIN is out. */
  #ending = false;
  #finished = false;
  #peerEnded = false;
  #destroyed = false;
  #closed = false;
  #paused = false;
  /** Inside one of our calls into Bun. */
  #calling = false;

  constructor(birth: Birth) {
    this.#birth = birth;
  }

  get queued(): number {
    return this.#queue.bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.#ending || this.#closed || this.#raw === undefined || bytes.length === 0) return this.queued;
    if (this.#queue.bytes > 0) {
      // What was gathered before comes before.
      this.#gathered.flush();
      this.#queue.push(bytes, 0);
    } else this.#gathered.add(bytes);
    return this.queued;
  }

  end(): void {
    if (this.#ending) return;
    this.#gathered.flush();
    this.#ending = true;
    if (this.#queue.bytes === 0) this.#finish();
  }

  destroy(): void {
    if (this.#destroyed || this.#closed) return;
    this.#destroyed = true;
    this.#ending = true;
    this.#gathered.flush();
    this.#queue.clear();
    this.#calling = true;
    this.#raw?.terminate();
    this.#calling = false;
  }

  pause(): void {
    if (this.#paused || this.#closed) return;
    this.#paused = true;
    this.#raw?.pause();
  }

  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#calling = true;
    this.#raw?.resume();
    this.#calling = false;
  }

  // What follows is called by the handlers object below, and by the dial.

  onOpen(raw: Bun.Socket<BunSocket>): void {
    this.#raw = raw;
    const birth = this.#birth;
    if (birth === undefined) {
      // Given up while the socket was being opened: `destroy` had nothing to end then.
      raw.terminate();
      return;
    }
    raw.setNoDelay(true);
    // A far end that vanished without a word is noticed by the system in the end.
    raw.setKeepAlive(true, keepAliveAfterMs);
    if (!birth.tls) raw.timeout(0);
    this.remote = addressText(raw.remoteAddress, raw.remotePort);
    this.local = addressText(raw.localAddress, raw.localPort);
    if (!birth.tls) this.#born(birth);
  }

  onHandshake(success: boolean, error: Error | null): void {
    const birth = this.#birth;
    if (birth === undefined) return;
    // Bun says false also for a certificate with another name, when TLS stands all the same: it then has a cipher.
    const stands = success || (!birth.verify && Boolean(this.#raw?.getCipher()?.name));
    if (!stands || (birth.verify && error !== null)) {
      this.giveUp();
      birth.failed("tls", error?.message ?? "The TLS handshake failed.");
      return;
    }
    this.#raw?.timeout(0);
    this.#born(birth);
  }

  onConnectError(error: Error): void {
    const birth = this.#birth;
    this.#birth = undefined;
    birth?.failed(dialFailure(error), error.message);
  }

  onData(bytes: Uint8Array): void {
    if (this.#destroyed) return;
    if (this.#calling) queueMicrotask(() => this.onData(bytes));
    else this.handler.data(bytes);
  }

  onDrain(): void {
    const raw = this.#raw;
    const queue = this.#queue;
    if (raw === undefined || queue.bytes === 0) return;
    const before = queue.bytes;
    this.#calling = true;
    for (let chunk = queue.first; chunk !== undefined; chunk = queue.first) {
      const taken = raw.write(chunk);
      if (taken > 0) queue.drop(taken);
      if (taken < chunk.length) break;
    }
    this.#calling = false;
    if (this.#closed) return;
    if (queue.bytes === 0 && this.#ending) this.#finish();
    if (queue.bytes < before) this.handler.drained();
  }

  onEnd(): void {
    if (this.#destroyed || this.#peerEnded) return;
    if (this.#calling) {
      queueMicrotask(() => this.onEnd());
      return;
    }
    this.#peerEnded = true;
    this.handler.ended();
    if (this.#finished) this.#finish();
  }

  onClose(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    const birth = this.#birth;
    if (birth !== undefined) {
      this.#birth = undefined;
      birth.failed(
        birth.tls ? "tls" : "failed",
        error?.message ?? "Closed by the far end during the opening.",
      );
      return;
    }
    const orderly = error === undefined && this.#finished;
    this.#queue.clear();
    this.#gathered.drop();
    this.#raw = undefined;
    if (this.#calling || this.#destroyed) queueMicrotask(() => this.#over(orderly));
    else this.#over(orderly);
  }

  /** Only an opening has a time limit here: Bun calls this after 120 s of silence whether it was asked to or not. */
  onTimeout(): void {
    if (this.#birth !== undefined) this.giveUp();
  }

  /** Gives what lies beneath to `heir`, which speaks TLS on it; this one is over and silent. */
  surrender(heir: BunSocket, tls: Tls): void {
    this.#gathered.flush();
    const raw = this.#raw;
    if (raw === undefined || this.#ending || this.#queue.bytes > 0) {
      this.destroy();
      throw new Error("The socket is not open, or bytes are queued in it.");
    }
    this.resume();
    this.#raw = undefined;
    this.#destroyed = true;
    this.#closed = true;
    this.#ending = true;
    const [below] = raw.upgradeTLS({ data: heir, tls: bunTls(tls), socket: handlers });
    below.reload({ socket: deafRaw });
  }

  /** Nobody waits for this socket any more: drop it as soon as there is one. */
  giveUp(): void {
    this.#birth = undefined;
    this.destroy();
  }

  /** The first `length` of `bytes`, which are whose they were when it returns, unless that is all of them. */
  toSystem(bytes: Uint8Array, length: number): void {
    if (this.#raw === undefined) return;
    let taken = 0;
    // What was gathered and did not fit when more came is queued already.
    if (this.#queue.bytes === 0) {
      this.#calling = true;
      taken = this.#raw.write(bytes, 0, length);
      this.#calling = false;
    }
    // A negative count: the socket is already broken, and `close` tells so.
    if (taken < 0 || taken === length) return;
    if (length === bytes.length) this.#queue.push(bytes, taken);
    else this.#queue.push(bytes.slice(taken, length), 0);
  }

  #over(orderly: boolean): void {
    // A FIN that comes after ours is told by Bun as `close` alone.
    if (orderly && !this.#peerEnded && !this.#destroyed) {
      this.#peerEnded = true;
      this.handler.ended();
    }
    this.handler.closed({ reset: !orderly && !this.#destroyed });
  }

  #born(birth: Birth): void {
    this.#birth = undefined;
    birth.opened(this);
  }

  #finish(): void {
    this.#finished = true;
    this.#calling = true;
    // Bun leaves a socket open whose two directions have ended one after the other, so close it then.
    if (this.#peerEnded) this.#raw?.end();
    else this.#raw?.shutdown();
    this.#calling = false;
  }
}

const handlers: Bun.SocketHandler<BunSocket> = {
  binaryType: "uint8array",
  open: (raw) => raw.data.onOpen(raw),
  handshake: (raw, success, error) => raw.data.onHandshake(success, error),
  data: (raw, bytes) => raw.data.onData(bytes),
  drain: (raw) => raw.data.onDrain(),
  end: (raw) => raw.data.onEnd(),
  close: (raw, error) => raw.data.onClose(error),
  // `close` or `connectError` follows and tells the same.
  error: () => {},
  timeout: (raw) => raw.data.onTimeout(),
  connectError: (raw, error) => raw.data.onConnectError(error),
};

/** Hears nothing: beneath TLS, what the old handlers would be told is cipher text. */
const deafRaw: Bun.SocketHandler<BunSocket> = { drain() {} };

/** Opens sockets by `Bun.connect`. */
export const dial: Dial = (target: DialTarget, timeoutMs: number, handler: DialHandler) => {
  const tls = target.tls && bunTls(target.tls);
  return opening(target.tls, timeoutMs, handler, (socket) => {
    const shared = { socket: handlers, data: socket, allowHalfOpen: true, ...(tls && { tls }) };
    const { host = "", port = 0, unix } = target;
    const opened =
      unix === undefined
        ? Bun.connect<BunSocket>({ ...shared, hostname: host, port })
        : Bun.connect<BunSocket>({ ...shared, unix });
    opened.catch((error: Error) => socket.onConnectError(error));
  });
};

/** TLS on a socket that `dial` has opened. */
export const startTls: StartTls = (below, tls, timeoutMs, handler) =>
  opening(tls, timeoutMs, handler, (socket) => {
    if (!(below instanceof BunSocket)) throw new TypeError("startTls is for sockets of this file's dial");
    below.surrender(socket, tls);
  });

type Tls = NonNullable<DialTarget["tls"]>;

const bunTls = ({ serverName, insecure }: Tls) => ({ serverName, rejectUnauthorized: !insecure });

/** Opens one socket by `begin`, within a time. Returns what gives it up. */
function opening(
  tls: Tls | undefined,
  timeoutMs: number,
  handler: DialHandler,
  begin: (socket: BunSocket) => void,
): () => void {
  let over = false;
  const settle = (): boolean => {
    if (over) return false;
    over = true;
    clearTimeout(timer);
    return true;
  };
  const tellOpened = (socket: Socket): void => {
    if (settle()) handler.opened(socket);
    else socket.destroy();
  };
  const tellFailed = (reason: DialFailure, detail: string): void => {
    if (settle()) handler.failed(reason, detail);
  };
  // Bun tells some failures (a name it remembers as unknown, a unix socket) from inside `connect`.
  let inside = true;
  const socket = new BunSocket({
    tls: tls !== undefined,
    verify: tls !== undefined && !tls.insecure,
    opened: (opened) => {
      if (inside) queueMicrotask(() => tellOpened(opened));
      else tellOpened(opened);
    },
    failed: (reason, detail) => {
      if (inside) queueMicrotask(() => tellFailed(reason, detail));
      else tellFailed(reason, detail);
    },
  });
  const timer = setTimeout(() => {
    socket.giveUp();
    tellFailed("timeout", `No answer within ${timeoutMs} ms.`);
  }, timeoutMs);
  try {
    begin(socket);
  } catch (error) {
    socket.onConnectError(error instanceof Error ? error : new Error(String(error)));
  }
  inside = false;
  return () => {
    if (settle()) socket.giveUp();
  };
}

/** Accepts sockets by `Bun.listen`. */
export const listen: Listen = async (options, accept) => {
  const birth: Birth = { tls: options.tls !== undefined, verify: false, opened: accept, failed: () => {} };
  try {
    const exclusive = options.reusePort !== true;
    // `reusePort` is missing in Bun's types of a listener.
    const place = { hostname: options.host, port: options.port, exclusive, reusePort: !exclusive };
    const listener = Bun.listen<BunSocket>({
      ...place,
      allowHalfOpen: true,
      ...(options.tls && { tls: { cert: options.tls.cert, key: options.tls.key } }),
      socket: {
        ...handlers,
        open(raw) {
          const socket = new BunSocket(birth);
          raw.data = socket;
          if (birth.tls) raw.timeout(acceptHandshakeTimeoutSeconds);
          socket.onOpen(raw);
        },
      },
    });
    return {
      host: options.host,
      port: listener.port,
      close: () => listener.stop(),
    };
  } catch (cause) {
    throw listenFailure(options, cause);
  }
};
