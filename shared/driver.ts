import type { Clock } from "./clock.ts";
import { type Code, codes } from "./errors.ts";
import type { Link } from "./link.ts";
import { factsOf, Liveness } from "./liveness.ts";
import type { Session } from "./mux/session.ts";
import type { GoawayKind, Resumption } from "./mux/session-handler.ts";
import type { Stream, StreamHandler } from "./mux/stream.ts";

/** The liveness texts of PROTOCOL.md section 2: exact, so that an edge platform answers without waking. */
export const pingText = "underpass/1 ping 8f1b2c6d-keepalive";
export const pongText = "underpass/1 pong 8f1b2c6d-keepalive";

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

/** What the owner of a session wants to know. */
export interface DriverHandler {
  opened(stream: Stream, fields: Uint8Array): StreamHandler | undefined;
  goaway(kind: GoawayKind, code: Code, graceMs: number, reason: string): void;
  /**
   * The session's link has become suspect, is itself again (`up`), or is gone (`lost`): then the session waits for
   * another until its resume window has passed. Not told of a link that `link` or `unlink` replaces.
   */
  linkState(state: "up" | "suspect" | "lost"): void;
  /** The peer suspects the link in this slot of ours. */
  doubted(slot: number): void;
  /** The first message or text came on a link: it is good for something. */
  progress?(): void;
  /** The session has come to rest on its link, or begins to leave that. Where absent, links are watched at rest, too. */
  rested?(resting: boolean): void;
  /** The session is over (its streams were reset) and its link, if any, is closing or gone. Exactly once. */
  over(code: Code): void;
}

export interface DriverOptions {
  /** This side asks for signs of life when nothing goes on (the agent). */
  readonly pingsWhenIdle: boolean;
  /** How long the session waits for another link, from the last byte that came. */
  readonly resumeWindowMs: number;
}

/** Pumps a session over its links, one at a time, with real time: what one turn of the loop brings leaves together. */
export class Driver {
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
  private resting = false;

  /** Takes over `session.handler`. There is no link before `link`. */
  constructor(
    readonly session: Session,
    private readonly clock: Clock,
    private readonly handler: DriverHandler,
    private readonly options: DriverOptions,
  ) {
    this.liveness = new Liveness(options, clock.now());
    session.handler = {
      opened: (stream, fields) => handler.opened(stream, fields),
      wake: () => this.schedule(),
      datagram: (stream, payload) => stream.handler.datagram?.(payload),
      doubted: (slot) => handler.doubted(slot),
      goaway: (kind, code, graceMs, reason) => handler.goaway(kind, code, graceMs, reason),
      over: (code) => this.end(code),
    };
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

  /** Nothing is going on that an earlier or later process would have to know of, but `session.rest`. */
  get isResting(): boolean {
    return this.confirmed && this.session.rest !== undefined;
  }

  /**
   * Puts the session on `link`, after the handshake there; `resumption`: what was said in it, where the session had
   * another link before. That one is dropped. `closed` is called when this link is gone, whoever uses it by then.
   */
  link(link: Link, closed: () => void, resumption?: Resumption): void {
    this.unlink();
    if (this.gone) {
      link.handler = { ...deafHandler, closed };
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
    link.handler = {
      heard: () => this.heard(),
      message: (bytes) => {
        this.progress();
        session.handleMessage(bytes, clock.now());
        this.noteRest();
      },
      text: (text) => this.handleText(text),
      drained: () => this.schedule(),
      closed: () => {
        closed();
        this.lose();
      },
    };
    if (resumption !== undefined) {
      // Whoever resumes has read WELCOME.
      this.confirmed = true;
      session.resume(resumption, clock.now());
    }
    this.arrangeLook(clock.now());
    this.schedule();
    this.noteRest();
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
    this.noteRest();
  }

  /** Keeps `value` with the link, where the platform can. */
  attach(value: unknown): void {
    this.linked?.link.attach?.(value);
  }

  /** After a rest without timers: what the platform heard meanwhile counts, and a link that was silent too long is dropped. */
  wake(): void {
    const { linked } = this;
    if (linked === undefined || !this.resting) return;
    const { answeredMs = 0 } = linked.link;
    const heardMs = this.clock.now() - (this.clock.date() - answeredMs);
    if (heardMs > this.liveness.lastHeardMs) this.liveness.heard(heardMs);
    this.look(this.clock.now());
  }

  /** Drops the link, if there is one, without a word to the handler: nothing of it is read any more. */
  unlink(): void {
    const { linked } = this;
    if (linked === undefined) return;
    this.linked = undefined;
    this.resting = false;
    this.stopLooking();
    linked.link.handler = { ...deafHandler, closed: linked.closed };
    linked.link.destroy();
    this.awaitLink();
  }

  private awaitLink(): void {
    this.session.suspend();
    const untilMs = this.liveness.lastHeardMs + this.options.resumeWindowMs;
    this.cancelWindow = this.clock.at(untilMs, () => this.session.lost("link-lost"));
  }

  /** Says GOAWAY on the session's link, or on the next one. */
  goaway(kind: GoawayKind, code: Code, graceMs: number): void {
    this.session.goaway(kind, code, graceMs, codes[code].meaning, this.clock.now());
  }

  /** Says GOAWAY, and closes: `bye`, or `error` where that ends streams that are still open. */
  close(code: Code): void {
    const kind = this.session.openStreams > 0 ? "error" : "bye";
    this.goaway(kind, code, 0);
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

  private schedule(): void {
    if (this.scheduled || this.flushing) return;
    this.scheduled = true;
    // Whoever sends one request after the other need not wait for the rest of the turn.
    if (this.session.allWaiting) queueMicrotask(this.flushScheduled);
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
      linked.link.send(message);
    }
    this.flushing = false;
    this.setDeadline();
    if (this.linked !== linked) return;
    if (session.ledger.oldest !== undefined || session.openStreams > 0) this.arrangeLook(nowMs);
    this.noteRest();
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

  private handleText(text: string): void {
    const { linked } = this;
    if (linked === undefined) return;
    this.progress();
    if (text === pongText) return;
    if (text !== pingText || linked.link.queued > driverLimits.maxPongBacklogBytes) {
      this.session.goaway("error", "protocol-error", 0, "");
      return;
    }
    linked.link.sendText(pongText);
  }

  private progress(): void {
    if (this.progressed) return;
    this.progressed = true;
    this.confirmed = true;
    this.handler.progress?.();
    this.noteRest();
  }

  /** Told in the same turn in which anything left or came. */
  private noteRest(): void {
    const { linked, handler } = this;
    if (handler.rested === undefined || linked === undefined || this.resting === this.isResting) return;
    this.resting = !this.resting;
    if (this.resting) this.stopLooking();
    else this.arrangeLook(this.clock.now());
    handler.rested(this.resting);
  }

  // Liveness

  private heard(): void {
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
    const { ping, nextMs } = liveness.look(factsOf(this.session), nowMs);
    if (liveness.state === "dead") {
      this.unlink();
      this.handler.linkState("lost");
      return;
    }
    if (ping) linked.link.sendText(pingText);
    if (!this.resting && (this.lookMs > nextMs || this.lookMs <= nowMs)) {
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
    const lateMs = nowMs - this.lookMs;
    this.lookMs = Number.POSITIVE_INFINITY;
    // What came meanwhile has not been read yet.
    if (lateMs > driverLimits.lateMs) this.liveness.ask(nowMs);
    this.look(nowMs);
  }

  private lose(): void {
    if (this.linked === undefined) return;
    this.unlink();
    this.handler.linkState("lost");
  }

  private end(code: Code): void {
    if (this.gone) return;
    // A GOAWAY that says why goes first.
    if (!this.flushing) this.flush();
    this.gone = true;
    this.cancelDeadline?.();
    this.cancelLook?.();
    this.cancelWindow?.();
    const { linked } = this;
    this.sayLast();
    this.linked = undefined;
    if (linked !== undefined) {
      linked.link.handler = { ...deafHandler, closed: linked.closed };
      linked.link.close(codes[code].close ?? 1001, code);
    }
    this.handler.over(code);
  }
}

const deafHandler = { heard() {}, message() {}, text() {}, drained() {}, closed() {} };
