import type { Clock } from "../../shared/clock.ts";
import type { RelayDialer } from "../../shared/dial/dial.ts";
import type { GivenName, GiveUp, LinkPlace, NameWish } from "../../shared/dial/place.ts";
import { RelayRefusal } from "../../shared/dial/relay-refusal.ts";
import type { UnderpassError } from "../../shared/errors.ts";
import type { Link, TransportName } from "../../shared/link.ts";
import type { RelayDoor } from "../agent.ts";
import type { TransportChoice } from "../command/relay-link.ts";

export interface TransportOptions {
  readonly choice: TransportChoice;
  readonly dialer: Pick<RelayDialer, "openLink" | "openEventLink" | "requestName">;
  readonly clock: Clock;
  /** While links go without, a WebSocket is tried after this time, then after twice of it, and so on. */
  readonly websocketRetryMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * Puts sessions that have a link of another transport on a new one: `one` of them, or `all`. Returns for how many a
 * dial has begun, and how many there are.
 */
export type MoveLinks = (how: "one" | "all") => { readonly begun: number; readonly left: number };

const limits = {
  maxRetryMs: 600_000,
  /** Each wait is longer or shorter by up to this share: agents behind one proxy do not come at once. */
  jitter: 0.2,
  /**
   * A link that is lost sooner died at once; one that lives longer has proved its transport. More than the 10 s that
   * WELCOME may take: a link on which nothing comes through is lost only then.
   */
  youngMs: 12_000,
  /** A link that died at once after it had carried something counts half: it may have been the network's fault. */
  emptyStrikes: 2,
  carriedStrikes: 1,
  /** Then the other transport has its turn. */
  maxStrikes: 4,
} as const;

type Done = (result: Link | UnderpassError) => void;

/**
 * Over what the links of one agent go. Under `auto` that is a WebSocket; where none can be had, or all die at once, it
 * is events and POSTs, until a WebSocket that is tried from time to time beside them has proved good. A network that is
 * simply down says nothing of either.
 */
export class Transport implements RelayDoor {
  readonly #options: TransportOptions;
  /** What works here, as far as is known. */
  #using: TransportName;
  /** The next dial goes over the other. */
  #turn: TransportName | undefined;
  /** The next dial is a WebSocket that is tried; `beside`: the session has a link and keeps it if that fails. */
  #trial: "beside" | "instead" | undefined;
  #openedMs = new WeakMap<Link, number>();
  #strikes = 0;
  #struckMs = Number.NEGATIVE_INFINITY;
  /** WebSockets that were tried since one was good. */
  #retries = 0;
  #cancelRetry: (() => void) | undefined;
  /** A WebSocket that is about to prove itself. */
  #probation: { readonly link: Link; readonly cancel: () => void } | undefined;
  #move: MoveLinks = () => ({ begun: 0, left: 0 });

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#using = options.choice === "sse" ? "sse" : "ws";
  }

  requestName(
    token: string | undefined,
    wish: NameWish,
    done: (result: GivenName | UnderpassError) => void,
  ): () => void {
    return this.#options.dialer.requestName(token, wish, done);
  }

  openLink(place: LinkPlace, token: string | undefined, done: Done): GiveUp {
    if (this.#options.choice !== "auto") return this.#dial(this.#using, place, token, done).giveUp;
    const trial = this.#trial;
    const first = trial === undefined ? (this.#turn ?? this.#using) : "ws";
    this.#trial = undefined;
    this.#turn = undefined;
    let now = first;
    let dial = this.#dial(first, place, token, (result) => {
      const refusal = this.#taken(first, result);
      if (refusal?.by !== "between") done(result);
      // The dial is over; the link that is there stays. A code that ends agents is not meant for it.
      else if (trial === "beside") done(new RelayRefusal("upgrade-required", refusal.message));
      else {
        now = other(first);
        dial = this.#dial(now, place, token, (second) => {
          const again = this.#taken(now, second);
          done(again === undefined ? second : telling(refusal, again));
        });
      }
    });
    return (why) => {
      dial.giveUp();
      // Somebody took the request, and kept it.
      if (why === "late" && dial.wasReached()) this.#turn = other(first);
    };
  }

  linkLost(link: Link, { carried }: { readonly carried: boolean }): void {
    const { clock, choice } = this.#options;
    const openedMs = this.#openedMs.get(link);
    if (choice !== "auto" || openedMs === undefined) return;
    if (this.#probation?.link === link) this.#endProbation();
    const nowMs = clock.now();
    if (nowMs - openedMs >= limits.youngMs) {
      this.#strikes = 0;
      return;
    }
    // Links that die together die of one thing.
    if (openedMs < this.#struckMs) return;
    this.#struckMs = nowMs;
    this.#strikes += carried ? limits.carriedStrikes : limits.emptyStrikes;
    if (this.#strikes < limits.maxStrikes) return;
    this.#strikes = 0;
    this.#turn = other(link.transport ?? "ws");
  }

  /** From now on `move` is called when links had better go over a WebSocket. Returns what ends that. */
  follow(move: MoveLinks): () => void {
    this.#move = move;
    return () => {
      this.#move = () => ({ begun: 0, left: 0 });
      this.#stopRetry();
      this.#endProbation();
    };
  }

  #dial(
    transport: TransportName,
    place: LinkPlace,
    token: string | undefined,
    done: Done,
  ): { readonly giveUp: () => void; readonly wasReached: () => boolean } {
    const { dialer } = this.#options;
    let reached = false;
    const giveUp = dialer[transport === "ws" ? "openLink" : "openEventLink"](place, token, done, () => {
      reached = true;
    });
    return { giveUp, wasReached: () => reached };
  }

  /** Notes what a dial brought. Returns the refusal, if it was one. */
  #taken(transport: TransportName, result: Link | UnderpassError): RelayRefusal | undefined {
    if (result instanceof Error)
      return result instanceof RelayRefusal ? result : new RelayRefusal(result.code, result.message);
    const { clock } = this.#options;
    this.#openedMs.set(result, clock.now());
    if (transport === "sse") {
      // What waits then is for another end.
      if (this.#using === "ws") this.#stopRetry();
      this.#using = "sse";
      this.#retryLater();
    } else if (this.#using === "sse" && this.#probation === undefined) {
      const cancel = clock.at(clock.now() + limits.youngMs, () => this.#proved());
      this.#probation = { link: result, cancel };
    }
    return undefined;
  }

  #endProbation(): void {
    this.#probation?.cancel();
    this.#probation = undefined;
  }

  #proved(): void {
    this.#endProbation();
    this.#using = "ws";
    this.#strikes = 0;
    this.#retries = 0;
    this.#stopRetry();
    this.#moveRest();
  }

  #stopRetry(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
  }

  /** All other links go over a WebSocket too: those that can't just now, later. */
  #moveRest(): void {
    if (this.#using !== "ws" || this.#move("all").left === 0) return;
    const { clock, websocketRetryMs } = this.#options;
    this.#cancelRetry = clock.at(clock.now() + websocketRetryMs, () => {
      this.#cancelRetry = undefined;
      this.#moveRest();
    });
  }

  #retryLater(): void {
    if (this.#cancelRetry !== undefined) return;
    const { clock, random, websocketRetryMs } = this.#options;
    const spanMs = Math.min(
      websocketRetryMs * 2 ** this.#retries,
      Math.max(limits.maxRetryMs, websocketRetryMs),
    );
    const waitMs = spanMs * (1 + limits.jitter * (2 * random() - 1));
    this.#cancelRetry = clock.at(clock.now() + waitMs, () => {
      this.#cancelRetry = undefined;
      this.#retries++;
      this.#retryLater();
      if (this.#probation === undefined) {
        this.#trial = "beside";
        if (this.#move("one").begun === 0) this.#trial = "instead";
      }
    });
  }
}

function other(transport: TransportName): TransportName {
  return transport === "ws" ? "sse" : "ws";
}

/** Of two refusals of one dial the one to tell: the relay's own word; else one that time may cure. */
function telling(first: RelayRefusal, second: RelayRefusal): RelayRefusal {
  return second.by === "relay" || (first.fatal && !second.fatal) ? second : first;
}
