import { Driver } from "../driver.ts";
import { type Code, codes, UnderpassError } from "../errors.ts";
import { type Hello, writeGoaway } from "../handshake.ts";
import type { Link, TransportName } from "../link.ts";
import { slowDoubt } from "../mux/frame.ts";
import { limits as muxLimits } from "../mux/limits.ts";
import { Session } from "../mux/session.ts";
import type { GoawayKind } from "../mux/session-handler.ts";
import type { Stream, StreamHandler } from "../mux/stream.ts";
import { prove } from "../proof.ts";
import { type Greeted, Greeting } from "./greeting.ts";
import { RelayRefusal } from "./relay-refusal.ts";
import type { SlotOptions } from "./slot.ts";

/** Whom a session tells. */
export interface HeldSessionOwner {
  /** A HELLO of this slot, with the next attempt. */
  hello(more: Pick<Hello, "received" | "resume">, attempt: number): Hello;
  nextAttempt(): number;
  opened(stream: Stream, fields: Uint8Array): StreamHandler | undefined;
  /** The session has a link again, or the one that it has shows life again. */
  up(session: HeldSession, greeted?: Greeted): void;
  suspect(session: HeldSession): void;
  /** The link is gone, or a dial for another failed; the next comes in `delayMs`. */
  lost(session: HeldSession, error: UnderpassError, delayMs: number): void;
  /** The relay knows the session no more and has begun another on this link. */
  fresh(session: HeldSession, greeted: Greeted): void;
  /** Its relay can't be reached, neither from here nor by others: it goes on trying for what is open. */
  stranded(session: HeldSession, error: UnderpassError): void;
  /** The relay wants no more streams of this session. */
  goaway(session: HeldSession, kind: GoawayKind, code: Code, graceMs: number): void;
  /** It has ended. Exactly once. */
  over(session: HeldSession, error: UnderpassError): void;
}

/** After these the relay will not resume the session, whatever is tried. */
const endsSession: ReadonlySet<Code> = new Set<Code>(["proof-invalid", "session-gone", "protocol-error"]);
const limits = {
  /** How often a session that is leaving is looked at: streams end without telling anybody else. */
  leavingLookMs: 25,
  /** A dial that meets a black hole must not keep another from being tried: so long at first, doubled with each failure. */
  firstDialMs: 1_500,
  dialTrips: 8,
  maxDialMs: 10_000,
  /** The pause before a dial is drawn from no less, however little is left of the session's window. */
  leastSpanMs: 500,
  /** The last dial is tried so long before the window has passed, whatever the relay asks for. */
  lastDialMs: 2_000,
  /** What was said should leave before the link goes. */
  closeTimeoutMs: 1_000,
} as const;

/** A session of the agent's over the links that it has, one after the other: dials for the next by itself. */
export class HeldSession {
  readonly driver: Driver;
  readonly #id: string;
  readonly #secret: string;
  readonly #options: SlotOptions;
  readonly #owner: HeldSessionOwner;
  /** The dial for another link, or the wait before it. */
  #greeting: Greeting | undefined;
  #cancelWait: () => void = () => {};
  #waits = false;
  #failures = 0;
  readonly #windowMs: number;
  /** The latest, and what the session had received and heard acknowledged by then. */
  #link: { readonly link: Link; readonly progress: number } | undefined;
  /** Something came on the latest since the last loss. */
  #hasProgressed = false;
  /** Links that are not gone yet. */
  #links = 0;
  #linksGone: () => void = () => {};
  #leaving = false;
  /** Another relay than that of the link was met last. */
  #isForeign = false;
  /** What the owner was told last. */
  #wasUp = true;
  /** What its end is told with, where that is not what the session says. */
  #ending: UnderpassError | undefined;
  /** The relay ends it when it needs it no more. */
  #peerEnds = false;

  constructor(options: SlotOptions, greeted: Greeted, owner: HeldSessionOwner) {
    const { welcome, tripMs } = greeted;
    const { clock, memory, backoff } = options;
    this.#options = options;
    this.#owner = owner;
    this.#id = welcome.session;
    this.#secret = welcome.secret ?? "";
    this.#windowMs = welcome.resumeWindowMs;
    const session = new Session(
      {
        side: "agent",
        window: muxLimits.initialWindowBytes,
        peerWindow: welcome.window,
        streams: muxLimits.maxStreams,
        peerStreams: welcome.streams,
        memory,
        tripMs,
      },
      clock.now(),
    );
    this.driver = new Driver(
      session,
      clock,
      {
        opened: (stream, fields) => owner.opened(stream, fields),
        goaway: (kind, code, graceMs) => this.#goaway(kind, code, graceMs),
        linkState: (state) => this.#linkState(state),
        linkSlow: () => void this.renew(),
        doubted: (slot) => (slot < slowDoubt ? options.doubted(slot) : options.slowed?.(slot - slowDoubt)),
        progress: () => {
          this.#hasProgressed = true;
          backoff.succeeded();
        },
        over: (code) => this.#over(code),
      },
      { pingsWhenIdle: true, resumeWindowMs: welcome.resumeWindowMs, roadRate: options.roadRate },
    );
    this.#put(greeted);
  }

  get openStreams(): number {
    return this.driver.session.openStreams;
  }

  /** Over what its link goes, or went. */
  get transport(): TransportName | undefined {
    return this.#link?.link.transport;
  }

  /** The relay may have put the session on another link already, and the answer is on its way. */
  get awaitsWelcome(): boolean {
    return this.#greeting?.said === true;
  }

  /** The relay, or a sibling's fate, gives reason to doubt the link. */
  doubt(): void {
    if (!this.driver.doubt()) return;
    const { clock } = this.#options;
    // What is overdue may have come on this link, and wait to be read; by the next timer it is.
    clock.at(clock.now(), () => this.driver.doubt() && this.renew());
  }

  /**
   * Puts the session on another link, make-before-break: the old one is in use until the new one is there. Returns
   * whether a dial for one has begun.
   */
  renew(): boolean {
    const may = this.driver.isUp && this.#greeting === undefined && !this.#leaving;
    if (may) this.#dial();
    return may;
  }

  /**
   * Takes no new streams, finishes those that are open within `graceMs`, says bye and closes; `peerEnds`: the relay
   * may still open some, and ends the session when it needs it no more. Resolves when its links are gone.
   */
  async leave(
    graceMs: number,
    options: { readonly peerEnds: boolean; readonly untilMs: () => number },
  ): Promise<void> {
    const { clock } = this.#options;
    const { session } = this.driver;
    const endMs = clock.now() + graceMs;
    this.#leaving = true;
    this.#peerEnds = options.peerEnds;
    while (!session.over && clock.now() < Math.min(endMs, options.untilMs())) {
      // A link that is as good as there is to hear the goodbye; without any, nobody is there for the rest.
      const isDone = session.resting || (session.openStreams === 0 && !this.driver.hasLink);
      if (!this.#peerEnds && !this.awaitsWelcome && isDone) break;
      await pause(this.#options, limits.leavingLookMs);
    }
    if (!session.over) this.driver.close("goodbye");
    if (this.#links === 0) return;
    // A link that takes nothing more is not worth waiting for.
    await new Promise<void>((resolve) => {
      const cancel = clock.at(clock.now() + limits.closeTimeoutMs, resolve);
      this.#linksGone = () => {
        // A timer that is left keeps the process of a library's user.
        cancel();
        resolve();
      };
    });
  }

  /** Ends it now: nothing can resume it. */
  end(code: Code): void {
    this.driver.session.lost(code);
  }

  #put({ link, hello, welcome, tripMs }: Greeted): void {
    this.#links++;
    const gone = (): void => {
      if (--this.#links === 0 && this.driver.session.over) this.#linksGone();
    };
    this.#link = { link, progress: this.#progress };
    if (hello.resume === undefined || !welcome.resumed) this.driver.link(link, gone);
    else this.driver.link(link, gone, { peerReceived: welcome.received, told: welcome.first - 1, tripMs });
  }

  #linkState(state: "up" | "suspect" | "lost"): void {
    if (state === "up") {
      // Before HELLO nothing has happened yet.
      if (!this.awaitsWelcome) this.#cancelDial();
      this.#tellUp();
      return;
    }
    if (state === "suspect") {
      this.#wasUp = false;
      this.#owner.suspect(this);
      if (!this.#leaving && !this.#isFinal("link-lost") && !this.#waits && this.#greeting === undefined)
        this.#dial();
      return;
    }
    // Since it was good, an older session of the slot may have dialled in vain many times.
    if (this.#hasProgressed) this.#options.backoff.succeeded();
    this.#hasProgressed = false;
    // The relay drops the old link for the new one before its WELCOME is here: the attempt will tell.
    if (this.awaitsWelcome) return;
    this.#tellLinkLost();
    // What was refused beside the link is not refused now.
    if (this.#isForeign) this.#cancelDial();
    this.#failed(new UnderpassError("link-lost", "The link to the relay was lost."));
  }

  /** Once after each suspicion or loss that was told: a link that was renewed is none. */
  #tellUp(greeted?: Greeted): void {
    if (this.#wasUp) return;
    this.#wasUp = true;
    this.#owner.up(this, greeted);
  }

  get #progress(): number {
    const { received, acknowledgedCount } = this.driver.session.ledger;
    return received + acknowledgedCount;
  }

  #tellLinkLost(): void {
    if (this.#link === undefined) return;
    const { link, progress } = this.#link;
    this.#options.linkLost?.(link, { carried: this.#progress > progress });
  }

  #tellLost(error: UnderpassError, delayMs: number): void {
    if (this.driver.hasLink) return;
    this.#wasUp = false;
    this.#owner.lost(this, error, delayMs);
  }

  #isFinal(code: Code): boolean {
    return this.#options.isFinal(new UnderpassError(code));
  }

  /** There is no link, or no good one: the next dial is arranged, if none is under way. */
  #failed(error: UnderpassError): void {
    const { clock, backoff, isFinal } = this.#options;
    if (this.driver.session.over) return;
    this.#isForeign = error.code === "session-gone" && this.driver.hasLink;
    // A renewal that failed; or a suspicion that is over.
    if (this.driver.isUp) return;
    if (!this.driver.hasLink && (endsSession.has(error.code) || isFinal(error))) {
      this.#ending = error;
      this.driver.session.lost("link-lost");
      return;
    }
    if (error.code === "session-elsewhere" && !this.driver.hasLink && !this.#leaving) {
      this.#owner.stranded(this, error);
      if (this.driver.session.over) return;
    }
    if (this.#waits || this.#greeting !== undefined) {
      this.#tellLost(error, 0);
      return;
    }
    // What is open is lost with the window: so long as it is not, waits stay short against what is left of it.
    const leftMs = this.driver.heardMs + this.#windowMs - clock.now();
    const askedMs = error instanceof RelayRefusal ? error.retryAfterMs : 0;
    const hintMs = Math.min(askedMs, Math.max(0, leftMs - limits.lastDialMs));
    const delayMs = hintMs + Math.min(backoff.next(0), Math.max(limits.leastSpanMs, leftMs / 4));
    this.#waits = true;
    this.#cancelWait = clock.at(clock.now() + delayMs, () => {
      this.#waits = false;
      this.#dial();
    });
    this.#tellLost(error, delayMs);
  }

  #dial(): void {
    const { clock, openLink, linkLost, route } = this.#options;
    const session = this.#id;
    const basicMs = Math.max(limits.firstDialMs, limits.dialTrips * this.driver.session.tripMs);
    const limitMs = Math.min(limits.maxDialMs, basicMs * 2 ** this.#failures);
    const hello = () => this.#hello();
    this.#greeting = new Greeting({ clock, openLink, linkLost, session, limitMs, hello }, (result) => {
      this.#greeting = undefined;
      this.#failures = result instanceof UnderpassError ? this.#failures + 1 : 0;
      if (result instanceof UnderpassError)
        this.#failed(route?.refused(result, session, { spare: this.driver.isUp }) ?? result);
      else this.#greeted(result);
    });
  }

  #hello(): Hello {
    const attempt = this.#owner.nextAttempt();
    const { received } = this.driver.session.ledger;
    const session = this.#id;
    const proof = prove(this.#secret, { session, attempt, received });
    const resume = { session, proof, ...((this.#leaving || this.driver.hasLink) && { only: true }) };
    return this.#owner.hello({ received, resume }, attempt);
  }

  /** PROTOCOL.md section 3.1, step 4. */
  #greeted(greeted: Greeted): void {
    const { hello, welcome, link } = greeted;
    if (!welcome.resumed) {
      this.#owner.fresh(this, greeted);
      return;
    }
    const { ledger } = this.driver.session;
    const { first, received, session } = welcome;
    const isRight =
      session === this.#id &&
      first > hello.received &&
      first <= ledger.received + 1 &&
      received >= ledger.acknowledgedCount &&
      received <= ledger.sent;
    if (!isRight) {
      link.send(writeGoaway("error", "protocol-error"));
      link.close(codes["protocol-error"].close ?? 1002, "protocol-error");
      this.#failed(new UnderpassError("protocol-error"));
      return;
    }
    this.#options.route?.greeted(greeted);
    // A link that was suspect to the end is a lost one.
    if (this.driver.hasLink && !this.driver.isUp) this.#tellLinkLost();
    const { transport } = this;
    this.#put(greeted);
    if (this.transport !== transport) this.#wasUp = false;
    this.#tellUp(greeted);
  }

  #goaway(kind: GoawayKind, code: Code, graceMs: number): void {
    if (kind === "error") return;
    if (kind === "bye") this.#peerEnds = false;
    if (!this.#leaving) this.#owner.goaway(this, kind, code, graceMs);
  }

  #over(code: Code): void {
    this.#cancelDial();
    const text = code === "link-lost" ? "The link to the relay was lost." : undefined;
    this.#owner.over(this, this.#ending ?? new UnderpassError(code, text));
    if (this.#links === 0) this.#linksGone();
  }

  #cancelDial(): void {
    this.#cancelWait();
    this.#waits = false;
    this.#greeting?.cancel();
    this.#greeting = undefined;
  }
}

function pause({ clock }: SlotOptions, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.at(clock.now() + ms, resolve));
}
