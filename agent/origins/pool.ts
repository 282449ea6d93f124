import type { Clock } from "../../shared/clock.ts";
import type { Code } from "../../shared/errors.ts";
import type { Dial, DialFailure, DialTarget } from "../../shared/socket.ts";
import { Crowd } from "./crowd.ts";
import { Deadlines } from "./deadlines.ts";
import { originLimits } from "./limits.ts";
import { OriginSocket, type OriginSocketOwner } from "./origin-socket.ts";

const failureCodes: Readonly<Record<DialFailure, Code>> = {
  refused: "origin-refused",
  unreachable: "origin-refused",
  "not-found": "origin-refused",
  tls: "origin-invalid",
  timeout: "origin-timeout",
  "no-socket": "too-many-streams",
  failed: "origin-closed",
};

export interface OriginPoolOptions {
  readonly dial: Dial;
  readonly target: DialTarget;
  readonly clock: Clock;
  readonly dialTimeoutMs: number;
}

/** Who waits for a new socket. Exactly one is called, never from inside `open`. */
export interface OriginDialHandler {
  opened(socket: OriginSocket): void;
  failed(code: Code): void;
}

/** Sockets to one origin, kept for a short time between exchanges. The one used last is used next. */
export class OriginPool implements OriginSocketOwner {
  readonly #options: OriginPoolOptions;
  readonly #crowd = new Crowd();
  /** The longest idle first. */
  readonly #idle: OriginSocket[] = [];
  readonly #idleDeadlines: Deadlines<OriginSocket>;
  /** Half-closed by us; the origin is to close its side. */
  readonly #parting: Deadlines<OriginSocket>;
  /** All open sockets that the origin has served. */
  readonly #served = new Set<OriginSocket>();
  #cancelRelief: (() => void) | undefined;
  #closed = false;

  constructor(options: OriginPoolOptions) {
    this.#options = options;
    const { clock } = options;
    this.#idleDeadlines = new Deadlines(clock, originLimits.idleMs, (socket) => this.part(socket));
    this.#parting = new Deadlines(clock, originLimits.partingMs, (socket) => this.discard(socket));
  }

  get idleSockets(): number {
    return this.#idle.length;
  }

  /** An idle socket, if there is one. Give it back with `release`, `part` or `discard`. */
  take(): OriginSocket | undefined {
    const socket = this.#idle.pop();
    if (socket !== undefined) this.#idleDeadlines.clear(socket);
    return socket;
  }

  /** Opens a new socket. Returns a function that gives up (then neither of the two is called). */
  open(handler: OriginDialHandler): () => void {
    const newcomer = this.#crowd.arrive();
    const { dial, target, dialTimeoutMs } = this.#options;
    const cancel = dial(target, dialTimeoutMs, {
      opened: (socket) => handler.opened(new OriginSocket(socket, newcomer, this)),
      failed: (reason) => {
        this.#crowd.leave(newcomer);
        handler.failed(failureCodes[reason]);
      },
    });
    return () => {
      this.#crowd.leave(newcomer);
      cancel();
    };
  }

  /** The exchange is complete on both sides, and the origin said that the socket stays. */
  release(socket: OriginSocket): void {
    socket.user = undefined;
    const nowMs = this.#options.clock.now();
    this.#crowd.pass(nowMs);
    const dueMs = this.#crowd.dueMs(nowMs);
    if (dueMs !== undefined && dueMs <= nowMs) {
      this.#crowd.relieve(nowMs);
      this.part(socket);
      return;
    }
    if (this.#closed || this.#idle.length >= originLimits.maxIdleSockets) {
      this.part(socket);
      return;
    }
    this.#idle.push(socket);
    this.#idleDeadlines.set(socket);
    if (dueMs !== undefined) this.#armRelief(dueMs);
  }

  /**
   * Closes in order a socket whose exchange is complete, or that was idle: many origins print a stack trace when they
   * meet a reset instead.
   */
  part(socket: OriginSocket): void {
    this.#forget(socket);
    socket.user = undefined;
    socket.socket.end();
    this.#parting.set(socket);
  }

  /** Destroys it: the origin is to see an abort. Idempotent. */
  discard(socket: OriginSocket): void {
    this.#forget(socket);
    this.#parting.clear(socket);
    socket.user = undefined;
    socket.socket.destroy();
  }

  /** It goes on as another protocol's: whoever has it sets `socket.handler` and looks after it. */
  surrender(socket: OriginSocket): void {
    this.#forget(socket);
    socket.user = undefined;
  }

  /** Closes what is idle; sockets in use are closed when their exchange ends. */
  close(): void {
    this.#closed = true;
    this.#cancelRelief?.();
    for (const socket of [...this.#idle]) this.part(socket);
    this.#idleDeadlines.close();
  }

  firstByte(socket: OriginSocket): void {
    socket.served = true;
    this.#crowd.leave(socket.newcomer);
    if (this.#served.size > 0) this.#crowd.concurrent();
    this.#served.add(socket);
  }

  ended(socket: OriginSocket): void {
    this.part(socket);
  }

  gone(socket: OriginSocket): void {
    this.discard(socket);
  }

  #forget(socket: OriginSocket): void {
    this.#crowd.leave(socket.newcomer);
    this.#served.delete(socket);
    const at = this.#idle.indexOf(socket);
    if (at < 0) return;
    this.#idle.splice(at, 1);
    this.#idleDeadlines.clear(socket);
  }

  #armRelief(dueMs: number): void {
    this.#cancelRelief ??= this.#options.clock.at(dueMs, () => {
      this.#cancelRelief = undefined;
      this.#relieve();
    });
  }

  /** Closes idle sockets, the oldest first, for newcomers who have been passed over for too long. */
  #relieve(): void {
    const nowMs = this.#options.clock.now();
    for (let socket = this.#idle[0]; socket !== undefined; socket = this.#idle[0]) {
      const dueMs = this.#crowd.dueMs(nowMs);
      if (dueMs === undefined) return;
      if (dueMs > nowMs) {
        this.#armRelief(dueMs);
        return;
      }
      this.#crowd.relieve(nowMs);
      this.part(socket);
    }
  }
}
