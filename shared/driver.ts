import { AtRest, type RestOwner } from "./at-rest.ts";
import type { Clock } from "./clock.ts";
import type { DriverHandler, DriverOptions } from "./driver-handler.ts";
import { type Code, codes } from "./errors.ts";
import { deafLinkHandler, type Link, type LinkHandler } from "./link.ts";
import { factsOf, Liveness, pingText, pongText } from "./liveness.ts";
import type { Session } from "./mux/session.ts";
import type { GoawayKind, Resumption, SessionHandler } from "./mux/session-handler.ts";
import type { Stream, StreamHandler } from "./mux/stream.ts";

const driverLimits = {
  /** A message is handed to the link while less than this waits there: short buffers keep small requests quick. */
  linkHighBytes: 262_144,
  /** A peer that pings but does not read is not answered without end. */
  maxPongBacklogBytes: 1_048_576,
  /** A timer that is this late tells that the process did not run. */
  lateMs: 1_000,
  /** A link is looked at within this anyway while something is unanswered, or while streams are open. */
  soonestLookMs: 250,
  busyLookMs: 2_000,
} as const;

/**
 * Pumps a session over its links, one at a time, with real time: what one turn of the loop brings leaves together. It is
 * its own handler of both: thousands of idle sessions weigh, and a closure for each event took 0.6 KiB of each (measured).
 */
export class Driver implements LinkHandler, SessionHandler, RestOwner {
  private linked: { readonly link: Link; readonly closed: () => void } | undefined;
  private readonly liveness: Liveness;
  private progressed = false;
  /** Something came from the peer after the handshake, on this link or an earlier one: it knows of the session. */
  confirmed = false;
  private scheduled = false;
  private flushing = false;
  private cancelDeadline: (() => void) | undefined;
  private deadlineMs = Number.POSITIVE_INFINITY;
  private cancelLook: (() => void) | undefined;
  private lookMs = Number.POSITIVE_INFINITY;
  private cancelWindow: (() => void) | undefined;
  private gone = false;
  /** Absent where the owner does not want to know. */
  private readonly rest: AtRest | undefined;

  /** Takes over `session.handler`. There is no link before `link`. */
  constructor(
    readonly session: Session,
    private readonly clock: Clock,
    private readonly handler: DriverHandler,
    private readonly options: DriverOptions,
  ) {
    this.liveness = new Liveness(options, clock.now());
    if (handler.rested !== undefined) this.rest = new AtRest(clock, this);
    session.handler = this;
  }

  /** There is a link, and nothing says that it is in trouble. */
  get isUp(): boolean {
    return this.linked !== undefined && this.liveness.state === "up";
  }

  /** There is a link. */
  get hasLink(): boolean {
    return this.linked !== undefined;
  }

  /** When the last byte came from the peer. */
  get heardMs(): number {
    return this.liveness.lastHeardMs;
  }

  /** Nothing is going on that a later process would have to know of, but `session.rest`; where there is a link, `rested` has told it. */
  get isResting(): boolean {
    return this.linked === undefined ? this.isRestful : this.rest?.value === true;
  }

  /**
   * Puts the session on `link`, after the handshake there; `resumption`: what was said in it, where the session had
   * another link before. That one is dropped. `closed` is called when this link is gone, whoever uses it by then.
   */
  link(link: Link, closed: () => void, resumption?: Resumption): void {
    this.unlink();
    if (this.gone) {
      link.handler = { ...deafLinkHandler, closed };
      link.destroy();
      return;
    }
    const { clock, session } = this;
    this.cancelWindow?.();
    this.cancelWindow = undefined;
    this.linked = { link, closed };
    this.progressed = false;
    this.liveness.linked(clock.now());
    // A relay opens no stream before it knows that its WELCOME has arrived.
    if (this.options.pingsWhenIdle && resumption === undefined) this.liveness.ask(clock.now());
    link.handler = this;
    if (resumption !== undefined) {
      // Whoever resumes has read WELCOME.
      this.confirmed = true;
      session.resume(resumption, clock.now());
    }
    this.arrangeLook(clock.now());
    this.wake();
    this.rest?.note();
  }

  /**
   * Takes up a session that came to rest in an earlier process, when `heardMs` was the time of the last sign of life:
   * on the link that it had, or without one.
   */
  takeUp(link: Link | undefined, closed: () => void, heardMs: number): void {
    this.confirmed = true;
    if (link !== undefined) this.link(link, closed);
    this.liveness.heard(heardMs);
    if (link === undefined) this.awaitLink();
    else this.rest?.set(true);
  }

  /** Keeps `value` with the link, in place of what was kept. false: it can't be kept there, but elsewhere where there is no link. */
  attach(value: unknown): boolean {
    this.linked?.link.attach?.(value);
    return this.linked === undefined || this.linked.link.attach !== undefined;
  }

  /** After a rest without timers: what the platform heard meanwhile counts, and a link that was silent too long is dropped. */
  lookAgain(): void {
    if (this.linked === undefined || !this.isResting) return;
    this.hearAnswered();
    this.look(this.clock.now());
  }

  /** What may be kept has changed for a reason that the session does not know. */
  noteRest(): void {
    if (this.linked !== undefined) this.rest?.note();
  }

  /** A ping that the platform answered was a sign of life. */
  private hearAnswered(): void {
    const answeredMs = this.linked?.link.answeredMs;
    if (answeredMs === undefined) return;
    const heardMs = this.clock.now() - (this.clock.date() - answeredMs);
    if (heardMs > this.liveness.lastHeardMs) this.liveness.heard(heardMs);
  }

  /** Drops the link, if there is one, without a word to the handler: nothing of it is read any more. */
  unlink(): void {
    const { linked } = this;
    if (linked === undefined) return;
    this.hearAnswered();
    this.linked = undefined;
    this.rest?.stop();
    this.stopLooking();
    linked.link.handler = { ...deafLinkHandler, closed: linked.closed };
    linked.link.destroy();
    this.awaitLink();
  }

  private awaitLink(): void {
    this.session.suspend();
    const untilMs = this.liveness.lastHeardMs + this.options.resumeWindowMs;
    this.cancelWindow = this.clock.at(untilMs, () => this.session.lost("link-lost"));
  }

  /** Says GOAWAY on the session's link, or on the next one. */
  sayGoaway(kind: GoawayKind, code: Code, graceMs: number): void {
    this.session.goaway(kind, code, graceMs, codes[code].meaning, this.clock.now());
  }

  /** Says GOAWAY, and closes: `bye`, or `error` where that ends streams that are still open. */
  close(code: Code): void {
    const kind = this.session.openStreams > 0 ? "error" : "bye";
    this.sayGoaway(kind, code, 0);
    this.flush();
    this.sayLast();
    this.session.lost(code);
  }

  /**
   * The peer doubts the link: asks for a sign of life, unless something is unanswered anyway. Returns whether both
   * sides wait for too long: what the peer sends still comes, but what is sent to it does not arrive.
   */
  doubt(): boolean {
    if (this.linked === undefined) return false;
    const nowMs = this.clock.now();
    if (this.session.ledger.oldest !== undefined)
      return this.liveness.isOverdue(factsOf(this.session), nowMs);
    if (this.liveness.isAsking) return false;
    this.liveness.ask(nowMs);
    this.look(nowMs);
    return false;
  }

  /** This side was asleep: the link is taken for suspect until it shows life. */
  slept(): void {
    if (this.linked === undefined) return;
    const nowMs = this.clock.now();
    this.liveness.ask(nowMs);
    if (this.liveness.state === "up") {
      this.liveness.suspect();
      this.handler.linkState("suspect");
    }
    this.look(nowMs);
  }

  // SessionHandler

  opened(stream: Stream, fields: Uint8Array): StreamHandler | undefined {
    return this.handler.opened(stream, fields);
  }

  datagram(stream: Stream, payload: Uint8Array): void {
    stream.handler.datagram?.(payload);
  }

  doubted(slot: number): void {
    this.handler.doubted(slot);
  }

  goaway(kind: GoawayKind, code: Code, graceMs: number, reason: string): void {
    this.handler.goaway(kind, code, graceMs, reason);
  }

  wake(): void {
    if (this.scheduled || this.flushing) return;
    this.scheduled = true;
    // Frames wait for the end of the turn, also those of somebody who sends one request after the other: at once gained nothing,
    // and took 4 to 6 % of the requests at 1 and 32 sockets (measured).
    if (this.session.hurries) queueMicrotask(this.flushScheduled);
    else this.clock.soon(this.flushScheduled);
  }

  private readonly flushScheduled = (): void => {
    this.scheduled = false;
    this.flush();
  };

  private flush(): void {
    const { session, linked } = this;
    if (this.gone || linked === undefined) return;
    const nowMs = this.clock.now();
    this.flushing = true;
    if (linked.link.queued >= driverLimits.linkHighBytes) session.tick(nowMs);
    while (linked.link.queued < driverLimits.linkHighBytes) {
      const message = session.poll(nowMs);
      if (message === undefined) break;
      // What is kept must not be true any more before anything leaves.
      if (this.rest?.value === true) this.rest.note();
      linked.link.send(message);
    }
    this.flushing = false;
    this.setDeadline();
    if (this.linked !== linked) return;
    if (session.ledger.oldest !== undefined || session.openStreams > 0) this.arrangeLook(nowMs);
    this.rest?.note();
  }

  /** A GOAWAY goes also where much waits in front of it. */
  private sayLast(): void {
    const { linked } = this;
    if (linked === undefined || linked.link.queued < driverLimits.linkHighBytes) return;
    const last = this.session.poll(this.clock.now());
    if (last !== undefined) linked.link.send(last);
  }

  private setDeadline(): void {
    const deadlineMs = this.session.deadlineMs;
    // What can't be sent then waits for the link to drain.
    if (this.linked === undefined || this.linked.link.queued >= driverLimits.linkHighBytes) return;
    // One that fires too early costs a poll; one is not moved for each message.
    if (deadlineMs === undefined || this.deadlineMs <= deadlineMs) return;
    this.cancelDeadline?.();
    this.deadlineMs = deadlineMs;
    this.cancelDeadline = this.clock.at(deadlineMs, () => {
      this.deadlineMs = Number.POSITIVE_INFINITY;
      this.cancelDeadline = undefined;
      this.flush();
    });
  }

  // LinkHandler

  message(bytes: Uint8Array): void {
    this.progress();
    this.session.handleMessage(bytes, this.clock.now());
    this.rest?.note();
  }

  drained(): void {
    this.wake();
  }

  closed(): void {
    this.linked?.closed();
    this.unlink();
    this.handler.linkState("lost");
  }

  text(text: string): void {
    const { linked } = this;
    if (linked === undefined) return;
    this.progress();
    // The owner keeps when the peer was heard.
    if (this.rest?.value === true) this.handler.rested?.(true);
    if (text === pongText) return;
    if (text !== pingText || linked.link.queued > driverLimits.maxPongBacklogBytes)
      return this.session.goaway("error", "protocol-error", 0, "");
    linked.link.sendText(pongText);
  }

  private progress(): void {
    if (this.progressed) return;
    this.progressed = true;
    this.confirmed = true;
    this.handler.progress?.();
    this.rest?.note();
  }

  get isRestful(): boolean {
    return this.confirmed && this.session.rest !== undefined && this.handler.mayRest?.() !== false;
  }

  rested(resting: boolean): void {
    if (resting) this.stopLooking();
    // Before anything is waited for: whose clock slept would make an alarm of it.
    this.handler.rested?.(resting);
    if (resting) return;
    this.hearAnswered();
    this.arrangeLook(this.clock.now());
  }

  // Liveness

  heard(): void {
    const nowMs = this.clock.now();
    if (!this.liveness.heard(nowMs)) return;
    this.handler.linkState("up");
    // The next look was put off until the link would have been dead.
    this.stopLooking();
    this.look(nowMs);
  }

  /** The link is to be looked at in time; a timer that fires too early costs a look. */
  private arrangeLook(nowMs: number): void {
    const { soonestLookMs, busyLookMs } = driverLimits;
    const soonMs = this.session.ledger.oldest === undefined ? busyLookMs : soonestLookMs;
    if (this.lookMs <= nowMs + soonMs) return;
    this.look(nowMs);
  }

  private look(nowMs: number): void {
    const { linked, liveness } = this;
    if (linked === undefined || this.gone) return;
    const before = liveness.state;
    const { ping, nextMs, slow } = liveness.look(factsOf(this.session, this.options.roadRate?.()), nowMs);
    if (liveness.state === "dead") {
      this.unlink();
      return this.handler.linkState("lost");
    }
    if (ping) linked.link.sendText(pingText);
    if (slow === true) this.handler.linkSlow?.();
    if (this.rest?.value !== true && (this.lookMs > nextMs || this.lookMs <= nowMs)) {
      this.cancelLook?.();
      this.lookMs = nextMs;
      this.cancelLook = this.clock.at(nextMs, () => this.lookDue());
    }
    if (before === "up" && liveness.state === "suspect") this.handler.linkState("suspect");
  }

  private stopLooking(): void {
    this.cancelLook?.();
    this.lookMs = Number.POSITIVE_INFINITY;
  }

  private lookDue(): void {
    const nowMs = this.clock.now();
    if (nowMs - this.lookMs > driverLimits.lateMs) this.liveness.ask(nowMs);
    this.lookMs = nowMs;
    // What has come may not have been read yet, however little the timer is late: it is before another one fires.
    this.cancelLook = this.clock.at(nowMs, () => this.look(nowMs));
  }

  over(code: Code): void {
    if (this.gone) return;
    // A GOAWAY that says why goes first.
    if (!this.flushing) this.flush();
    this.gone = true;
    this.rest?.stop();
    this.cancelDeadline?.();
    this.cancelLook?.();
    this.cancelWindow?.();
    const { linked } = this;
    this.sayLast();
    this.linked = undefined;
    if (linked !== undefined) {
      linked.link.handler = { ...deafLinkHandler, closed: linked.closed };
      linked.link.close(codes[code].close ?? 1001, code);
    }
    this.handler.over(code);
  }
}
