import type { Socket } from "node:net";
import { OneWay, type Weather } from "./one-way.ts";

/** `up`: from who dialled (the agent) to the target (the relay). */
export type Direction = "up" | "down";

/**
 * What can befall a pipe. `reset`: RST to both ends. `end`: FIN to both ends. `silence`: both ends stay open and hear
 * nothing any more, until the proxy is closed; nothing is read, so that their senders stall in time. `swallow`: the
 * same, but what they send is read and lost, as if it went somewhere.
 */
export type Fault = "reset" | "end" | "silence" | "swallow";

/** Bytes of one direction, counted from the pipe's beginning: what was under way when it was cut. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** One cut that took place. */
export interface Cut {
  readonly fault: Fault;
  /** By `performance.now()`. */
  readonly atMs: number;
  /** What had left one end and not come to the other: lost by this cut. */
  readonly lost: Readonly<Record<Direction, Range>>;
  /** Whether anything was lost. */
  readonly inFlight: boolean;
}

/** One connection through the proxy: two sockets, and the two ways between them. */
export class FaultyPipe {
  readonly openedAtMs = performance.now();
  /** Once it was cut. */
  cut: Cut | undefined;
  /** Resolves once the pipe is over for both ends, or was cut; never fails. */
  readonly over: Promise<void>;
  readonly #ways: Readonly<Record<Direction, OneWay>>;
  readonly #sockets: readonly [Socket, Socket];
  readonly #over = Promise.withResolvers<void>();
  #closed = 0;

  /** Both sockets must allow half-open. */
  constructor(
    /** In the order of arrival, from 0. */
    readonly index: number,
    near: Socket,
    far: Socket,
    tap?: (direction: Direction, bytes: Buffer) => void,
  ) {
    this.over = this.#over.promise;
    this.#sockets = [near, far];
    if (tap !== undefined) {
      near.on("data", (bytes: Buffer) => this.cut === undefined && tap("up", bytes));
      far.on("data", (bytes: Buffer) => this.cut === undefined && tap("down", bytes));
    }
    this.#ways = { up: new OneWay(near, far), down: new OneWay(far, near) };
    for (const [socket, other, wayTo] of [
      [near, far, this.#ways.down],
      [far, near, this.#ways.up],
    ] as const) {
      socket.setNoDelay(true);
      // What broke one end breaks the other, until a fault says otherwise.
      socket.on("error", () => this.cut === undefined && other.resetAndDestroy());
      socket.on("close", () => {
        wayTo.stop();
        this.#closed++;
        if (this.#closed === 2) this.#over.resolve();
      });
    }
  }

  /** Neither cut nor closed by an end. */
  get live(): boolean {
    return this.cut === undefined && this.#closed === 0;
  }

  /** Bytes taken from one end, whether or not they came to the other. */
  taken(direction: Direction): number {
    return this.#ways[direction].taken;
  }

  /** Bytes that were handed to the other end. */
  given(direction: Direction): number {
    return this.#ways[direction].given;
  }

  /** Bytes under way in the proxy at this moment. What lies in the sockets' buffers of the system is not seen. */
  held(direction: Direction): number {
    return this.#ways[direction].held;
  }

  /** From now on, for what comes and what is under way; `direction` absent: both. */
  setWeather(weather: Weather, direction?: Direction): void {
    for (const way of ["up", "down"] as const)
      if (direction === undefined || direction === way) this.#ways[way].setWeather(weather);
  }

  /** Does it now. A pipe is cut once: later calls change nothing and tell the first. */
  fault(fault: Fault): Cut {
    if (this.cut !== undefined) return this.cut;
    const lost = { up: this.#lost("up"), down: this.#lost("down") };
    const inFlight = lost.up.to > lost.up.from || lost.down.to > lost.down.from;
    this.cut = { fault, atMs: performance.now(), lost, inFlight };
    this.#ways.up.stop();
    this.#ways.down.stop();
    for (const socket of this.#sockets) befall(socket, fault);
    this.#over.resolve();
    return this.cut;
  }

  /** Does it as soon as exactly `bytes` more have gone in `direction`: the next one never arrives. */
  faultAfter(bytes: number, direction: Direction, fault: Fault): void {
    this.#ways[direction].stopAfter(bytes, () => this.fault(fault));
  }

  /** Lets go of both sockets at once, also of silent ones. */
  destroy(): void {
    this.#ways.up.stop();
    this.#ways.down.stop();
    for (const socket of this.#sockets) socket.destroy();
  }

  #lost(direction: Direction): Range {
    const { taken, held } = this.#ways[direction];
    return { from: taken - held, to: taken };
  }
}

function befall(socket: Socket, fault: Fault): void {
  if (fault === "reset") socket.resetAndDestroy();
  else if (fault === "silence") socket.pause();
  else {
    // Read on, and lose it: a socket that is closed over unread bytes would say RST.
    socket.resume();
    if (fault === "end") socket.end();
  }
}
