import type { Clock } from "../shared/clock.ts";
import { Driver } from "../shared/driver.ts";
import { type Code, codes, goawayCode, UnderpassError } from "../shared/errors.ts";
import { readWelcome, type Welcome, writeHello } from "../shared/handshake.ts";
import type { Link } from "../shared/link.ts";
import { limits } from "../shared/mux/limits.ts";
import type { Memory } from "../shared/mux/memory.ts";
import { Session } from "../shared/mux/session.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import type { Backoff } from "./backoff.ts";
import { RelayRefusal } from "./relay-refusal.ts";

/** Opens a link under the tunnel's name. Exactly one call of `done`, never from inside. Returns what gives up. */
export type OpenLink = (done: (result: Link | UnderpassError) => void) => () => void;

export interface SlotOptions {
  /** From 0. */
  readonly index: number;
  readonly instance: string;
  readonly join: boolean;
  readonly version: string;
  readonly clock: Clock;
  readonly memory: Memory;
  readonly backoff: Pick<Backoff, "next" | "succeeded">;
  readonly openLink: OpenLink;
  /** Whether there is no use in another dial. */
  readonly isFinal: (error: UnderpassError) => boolean;
}

/** Whom the slot tells. */
export interface SlotOwner {
  opened(stream: Stream, fields: Uint8Array): StreamHandler | undefined;
  /** A session is up. */
  up(slot: Slot, welcome: Welcome): void;
  /** A dial failed or the session ended. The next dial comes in `delayMs`; undefined: none comes. */
  down(slot: Slot, error: UnderpassError, attempt: number, delayMs: number | undefined): void;
}

/** WELCOME must come within this time of the 101 (PROTOCOL.md section 1), and is no larger than `maxHandshakeBytes`. */
const handshakeTimeoutMs = 10_000;
/** How often a session that is leaving is looked at: streams end without telling anybody else. */
const leavingLookMs = 25;
const closeTimeoutMs = 1_000;

interface Running {
  readonly driver: Driver;
  /** Resolves when the link is gone. */
  readonly closed: Promise<void>;
}

/** One place in the agent's pool: dials, shakes hands, runs a session, and does it again when it is over. */
export class Slot {
  readonly #options: SlotOptions;
  readonly #owner: SlotOwner;
  #current: Running | undefined;
  /** Gives up what is under way: a dial, a handshake, or the wait before the next. */
  #cancel: () => void = () => {};
  #attempt = 0;
  #stopped = false;
  /** Sessions that finish their streams, and the latest time for that once the agent stops. */
  readonly #leaving = new Set<Promise<void>>();
  #leaveByMs = Number.POSITIVE_INFINITY;

  constructor(options: SlotOptions, owner: SlotOwner) {
    this.#options = options;
    this.#owner = owner;
  }

  get index(): number {
    return this.#options.index;
  }
  get isUp(): boolean {
    return this.#current !== undefined;
  }
  get openStreams(): number {
    return this.#current?.driver.session.openStreams ?? 0;
  }

  /** Dials now. */
  start(): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.openLink((result) => {
      if (result instanceof UnderpassError) this.#lost(result);
      else this.#shakeHands(result);
    });
  }

  /** Says goodbye, lets open streams finish for `graceMs`, and closes. Resolves when all that was said has left. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    this.#leaveByMs = Math.min(this.#leaveByMs, this.#options.clock.now() + graceMs);
    const running = this.#current;
    if (running !== undefined) {
      this.#current = undefined;
      running.driver.session.goaway("bye", "goodbye", graceMs, codes.goodbye.meaning);
      this.#leave(running, graceMs);
    }
    await Promise.all(this.#leaving);
  }

  #shakeHands(link: Link): void {
    const { clock, instance, index, version, join } = this.#options;
    let settled = false;
    const settle = (): boolean => {
      if (settled) return false;
      settled = true;
      cancelTimer();
      return true;
    };
    const fail = (code: Code): void => {
      if (!settle()) return;
      link.close(codes[code].close ?? 1002, code);
      this.#lost(new UnderpassError(code));
    };
    const cancelTimer = clock.at(clock.now() + handshakeTimeoutMs, () => fail("handshake-timeout"));
    this.#cancel = () => {
      if (settle()) link.destroy();
    };
    const helloMs = clock.now();
    link.handler = {
      message: (bytes) => {
        const result = readWelcome(bytes);
        if (result.kind === "goaway") fail(goawayCode(result.wire));
        else if (result.kind === "fault") fail(result.code);
        else if (settle()) this.#run(link, result.value, clock.now() - helloMs);
      },
      text: () => fail("protocol-error"),
      drained: () => {},
      closed: () => {
        if (settle())
          this.#lost(new UnderpassError("link-lost", "The relay closed the link before it said WELCOME."));
      },
    };
    link.send(
      writeHello({
        version: 1,
        features: [],
        kind: "http",
        instance,
        slot: index,
        window: limits.initialWindowBytes,
        streams: limits.maxStreams,
        received: 0,
        ...(join && { join }),
        agent: `underpass/${version}`,
      }),
    );
  }

  #run(link: Link, welcome: Welcome, tripMs: number): void {
    const { clock, memory, backoff } = this.#options;
    const session = new Session(
      {
        side: "agent",
        window: limits.initialWindowBytes,
        peerWindow: welcome.window,
        streams: limits.maxStreams,
        peerStreams: welcome.streams,
        memory,
        tripMs,
      },
      clock.now(),
    );
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const driver = new Driver(
      session,
      link,
      clock,
      {
        opened: (stream, fields) => this.#owner.opened(stream, fields),
        goaway: (kind, code, graceMs) => {
          if (kind !== "error") this.#replace(running, code, graceMs);
        },
        over: (code) => {
          if (this.#current !== running) return;
          this.#current = undefined;
          this.#lost(
            new UnderpassError(code, code === "link-lost" ? "The link to the relay was lost." : undefined),
          );
        },
        closed: () => resolve(),
      },
      { pings: true },
    );
    const running: Running = { driver, closed };
    this.#current = running;
    this.#cancel = () => {};
    this.#attempt = 0;
    backoff.succeeded();
    this.#owner.up(this, welcome);
  }

  /** The relay wants to be left: the old session finishes its streams while another is dialled. */
  #replace(running: Running, code: Code, graceMs: number): void {
    if (this.#current !== running) return;
    this.#current = undefined;
    this.#leave(running, graceMs);
    this.#lost(new UnderpassError(code));
  }

  #leave(running: Running, graceMs: number): void {
    const left = this.#finishStreams(running, graceMs).then(() => void this.#leaving.delete(left));
    this.#leaving.add(left);
  }

  async #finishStreams({ driver, closed }: Running, graceMs: number): Promise<void> {
    const { clock } = this.#options;
    const untilMs = clock.now() + graceMs;
    const { session } = driver;
    while (session.openStreams > 0 && !session.over && clock.now() < Math.min(untilMs, this.#leaveByMs)) {
      await pause(clock, leavingLookMs);
    }
    if (!session.over) driver.close("goodbye");
    // What was said should leave before the process does; a link that takes nothing more is not worth waiting for.
    await new Promise<void>((resolve) => {
      const cancel = clock.at(clock.now() + closeTimeoutMs, resolve);
      void closed.then(() => {
        // A timer that is left keeps the process of a library's user.
        cancel();
        resolve();
      });
    });
  }

  #lost(error: UnderpassError): void {
    if (this.#stopped) return;
    this.#attempt++;
    if (this.#options.isFinal(error)) {
      this.#stopped = true;
      this.#owner.down(this, error, this.#attempt, undefined);
      return;
    }
    const { clock, backoff } = this.#options;
    const delayMs = backoff.next(error instanceof RelayRefusal ? error.retryAfterMs : 0);
    this.#cancel = clock.at(clock.now() + delayMs, () => this.start());
    this.#owner.down(this, error, this.#attempt, delayMs);
  }
}

function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.at(clock.now() + ms, resolve));
}
