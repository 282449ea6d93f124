import type { Clock } from "../clock.ts";
import { type Code, codes, UnderpassError } from "../errors.ts";
import type { Hello, Welcome } from "../handshake.ts";
import type { SessionKind } from "../kind.ts";
import { limits } from "../mux/limits.ts";
import type { Memory } from "../mux/memory.ts";
import type { GoawayKind } from "../mux/session-handler.ts";
import type { Stream, StreamHandler } from "../mux/stream.ts";
import type { Backoff } from "./backoff.ts";
import { type Greeted, Greeting, type LinkLost, type OpenLink } from "./greeting.ts";
import { HeldSession, type HeldSessionOwner } from "./held-session.ts";
import { RelayRefusal } from "./relay-refusal.ts";
import type { Route } from "./route.ts";

export interface SlotOptions {
  /** From 0. */
  readonly index: number;
  readonly kind: SessionKind;
  /** Of HELLO. */
  readonly features: readonly string[];
  readonly instance: string;
  /** Of another slot of this instance and index; 0 where absent: there was none. */
  readonly attemptsBefore?: number;
  readonly join: boolean;
  readonly version: string;
  readonly clock: Clock;
  readonly memory: Memory;
  readonly backoff: Pick<Backoff, "next" | "succeeded">;
  readonly openLink: OpenLink;
  readonly linkLost?: LinkLost;
  /** Absent: all links lead to the same place. */
  readonly route?: Route | undefined;
  /** Whether there is no use in another dial. */
  readonly isFinal: (error: UnderpassError) => boolean;
  /** The relay suspects the link of this slot of the same agent. */
  readonly doubted: (slot: number) => void;
  /** Bytes a millisecond that the agent's links have carried at most of late. */
  readonly roadRate?: () => number;
  /** The relay finds that link slow. */
  readonly slowed?: (slot: number) => void;
}

/** Whom the slot tells. */
export interface SlotOwner {
  opened(stream: Stream, fields: Uint8Array): StreamHandler | undefined;
  /** There is a link that takes streams. `resumed`: those that were open go on. */
  up(slot: Slot, welcome: Welcome, options: { readonly resumed: boolean }): void;
  /** The link is suspect; another is dialled. */
  suspect(slot: Slot): void;
  /** A dial failed, or the link was lost. The next dial comes in `delayMs`; undefined: none comes. */
  down(slot: Slot, error: UnderpassError, attempt: number, delayMs: number | undefined): void;
}

/** One place in the agent's pool: has a session, or dials for one. A session that must leave finishes beside it. */
export class Slot implements HeldSessionOwner {
  readonly #options: SlotOptions;
  readonly #owner: SlotOwner;
  #current: HeldSession | undefined;
  /** The latest of the current session. */
  #welcome: Welcome | undefined;
  /** Gives up what is under way for a fresh session: a dial, or the wait before the next. */
  #cancel: (options: { readonly bye: boolean }) => void = () => {};
  /** Failures since the last link. */
  #failures = 0;
  /** Of HELLO, rising over all sessions of this slot. */
  #attempt: number;
  #stopped = false;
  /** Sessions that finish their streams, and the latest time for that once the agent stops. */
  readonly #leaving = new Set<Promise<void>>();
  /** All sessions that are not over: the current one, and those that finish. */
  readonly #held = new Set<HeldSession>();
  #leaveByMs = Number.POSITIVE_INFINITY;

  constructor(options: SlotOptions, owner: SlotOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#attempt = options.attemptsBefore ?? 0;
  }

  get index(): number {
    return this.#options.index;
  }
  /** It has a link, or is about to have another in its place. */
  get isUp(): boolean {
    return this.#current?.driver.hasLink === true || this.#current?.awaitsWelcome === true;
  }
  /** One of its sessions, be it one that is leaving, has a link that nothing is wrong with. */
  get hasGoodLink(): boolean {
    for (const { driver } of this.#held) if (driver.isUp) return true;
    return false;
  }
  get openStreams(): number {
    let open = 0;
    for (const session of this.#held) open += session.openStreams;
    return open;
  }
  get session(): HeldSession | undefined {
    return this.#current;
  }

  /** Dials now, for a fresh session. */
  start(): void {
    if (this.#stopped) return;
    const { clock, openLink, linkLost, route } = this.#options;
    const hello = () => this.hello({ received: 0 }, this.nextAttempt());
    const greeting = new Greeting({ clock, openLink, linkLost, hello }, (result) => {
      if (result instanceof UnderpassError)
        this.#failed(route?.refused(result, undefined, { spare: false }) ?? result);
      else this.#begin(result);
    });
    this.#cancel = (how) => greeting.cancel(how);
  }

  /** Ends all sessions now, streams and all, and says so. */
  abandon(): void {
    for (const session of this.#held) session.driver.sayGoaway("error", "goodbye", 0);
  }

  /** Says goodbye, lets open streams finish for `graceMs`, and closes. Resolves when all that was said has left. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    this.#cancel({ bye: true });
    this.#leaveByMs = Math.min(this.#leaveByMs, this.#options.clock.now() + graceMs);
    const current = this.#current;
    if (current !== undefined) {
      this.#current = undefined;
      current.driver.sayGoaway("bye", "goodbye", graceMs);
      this.#leave(current, graceMs, { peerEnds: false });
    }
    await Promise.all(this.#leaving);
  }

  // HeldSessionOwner

  nextAttempt(): number {
    return ++this.#attempt;
  }

  hello(more: Pick<Hello, "received" | "resume">, attempt: number): Hello {
    const { instance, index, version, join, kind, features } = this.#options;
    return {
      version: 1,
      features: [...features],
      kind,
      instance,
      slot: index,
      attempt,
      window: limits.initialWindowBytes,
      streams: limits.maxStreams,
      ...(join && { join }),
      agent: `underpass/${version}`,
      ...more,
    };
  }

  opened(stream: Stream, fields: Uint8Array): StreamHandler | undefined {
    return this.#owner.opened(stream, fields);
  }

  up(session: HeldSession, greeted?: Greeted): void {
    if (session !== this.#current) return;
    this.#welcome = greeted?.welcome ?? this.#welcome;
    if (this.#welcome === undefined) return;
    this.#failures = 0;
    this.#owner.up(this, this.#welcome, { resumed: true });
  }

  suspect(session: HeldSession): void {
    if (session === this.#current) this.#owner.suspect(this);
  }

  lost(session: HeldSession, error: UnderpassError, delayMs: number): void {
    if (session === this.#current) this.#owner.down(this, error, ++this.#failures, delayMs);
  }

  fresh(session: HeldSession, greeted: Greeted): void {
    if (session !== this.#current) {
      // It asked for no fresh one, or has begun to leave since.
      greeted.link.destroy();
      session.end("link-lost");
      return;
    }
    this.#current = undefined;
    session.end("link-lost");
    this.#begin(greeted);
  }

  stranded(session: HeldSession, error: UnderpassError): void {
    if (session !== this.#current) return;
    this.#current = undefined;
    this.#leave(session, Number.POSITIVE_INFINITY, { peerEnds: false });
    // What the relay asks for is about that session: a fresh one it takes at once.
    this.#options.backoff.succeeded();
    this.#failed(new UnderpassError(error.code, error.message));
  }

  goaway(session: HeldSession, kind: GoawayKind, code: Code, graceMs: number): void {
    if (session !== this.#current) return;
    this.#current = undefined;
    // A relay that drains may still have visitors for this session; one that has had enough of it has not.
    this.#leave(session, graceMs, { peerEnds: kind === "drain" && !codes[code].fatal });
    this.#failed(new UnderpassError(code));
  }

  over(session: HeldSession, error: UnderpassError): void {
    this.#held.delete(session);
    if (session !== this.#current) return;
    this.#current = undefined;
    this.#failed(error);
  }

  #begin(greeted: Greeted): void {
    if (this.#stopped) {
      greeted.link.destroy();
      return;
    }
    this.#cancel = () => {};
    if (greeted.welcome.resumed || greeted.welcome.secret === undefined) {
      greeted.link.close(codes["protocol-error"].close ?? 1002, "protocol-error");
      this.#failed(new UnderpassError("protocol-error"));
      return;
    }
    this.#options.route?.greeted(greeted);
    this.#failures = 0;
    this.#welcome = greeted.welcome;
    this.#current = new HeldSession(this.#options, greeted, this);
    this.#held.add(this.#current);
    this.#owner.up(this, greeted.welcome, { resumed: false });
  }

  #leave(session: HeldSession, graceMs: number, { peerEnds }: { readonly peerEnds: boolean }): void {
    const left = session
      .leave(graceMs, { peerEnds, untilMs: () => this.#leaveByMs })
      .then(() => void this.#leaving.delete(left));
    this.#leaving.add(left);
  }

  /** No session, and none to resume: the next dial comes after a wait. */
  #failed(error: UnderpassError): void {
    if (this.#stopped) return;
    this.#failures++;
    if (this.#options.isFinal(error)) {
      this.#stopped = true;
      this.#owner.down(this, error, this.#failures, undefined);
      return;
    }
    const { clock, backoff } = this.#options;
    const delayMs = backoff.next(error instanceof RelayRefusal ? error.retryAfterMs : 0);
    this.#cancel = clock.at(clock.now() + delayMs, () => this.start());
    this.#owner.down(this, error, this.#failures, delayMs);
  }
}
