import type { Session } from "./mux/session.ts";

/** The liveness texts of PROTOCOL.md section 2: exact, so that an edge platform answers without waking. */
export const pingText = "underpass/1 ping 8f1b2c6d-keepalive";
export const pongText = "underpass/1 pong 8f1b2c6d-keepalive";

/** The numbers of PROTOCOL.md section 5.1. */
const limits = {
  /** Suspicion: so many round trips, and no sooner than this. */
  suspectTrips: 4,
  minSuspectMs: 250,
  /** Suspicion is promised within that time, and timers fire late. */
  timelyShare: 0.94,
  /** A rate that was measured while little was sent says too little about a large message. */
  maxTransferMs: 2_000,
  /** Bytes a millisecond, while nothing was measured. */
  unknownRate: 8.192,
  /** Death: this and the worst round trip, and what is in flight. */
  deathBaseMs: 1_000,
  minDeathMs: 3_000,
  maxDelayMs: 30_000,
  /** A link without life, with streams open and without. */
  busyPingMs: 2_000,
  idlePingMs: 15_000,
  /** A relay gives up a link on which nothing came for so long. */
  silenceMs: 45_000,
  /** Messages newly received or acknowledged after which a suspicion is forgotten. */
  trustAfterMessages: 64,
} as const;

/** What is known of the session when the link is looked at. Times as in `Clock.now()`. */
export interface LinkFacts {
  /** The oldest counted message that is not acknowledged. */
  readonly oldest: { readonly sentMs: number; readonly bytes: Uint8Array } | undefined;
  readonly unacknowledgedBytes: number;
  readonly tripMs: number;
  readonly worstTripMs: number;
  /** Bytes a millisecond, of late; 0: not known. */
  readonly rate: number;
  /** The same of this link alone. */
  readonly linkRate: number;
  readonly openStreams: number;
  /** How many counted messages were acknowledged so far. */
  readonly acknowledged: number;
  /** The same of those that came. */
  readonly received: number;
}

/** What a session knows of the link that it has. */
export function factsOf({ ledger, unacknowledgedBytes, openStreams }: Session): LinkFacts {
  const { oldest, acknowledgedCount: acknowledged, received, flight } = ledger;
  const { worstTripMs, rate, linkRate, roadMs: tripMs } = flight;
  return {
    ...{ oldest, unacknowledgedBytes, tripMs, openStreams },
    ...{ acknowledged, received, worstTripMs, rate, linkRate },
  };
}

export type LinkState = "up" | "suspect" | "dead";

/** Suspicion, death and signs of life of a session's links, one after the other. Pure: time is an argument. */
export class Liveness {
  state: LinkState = "up";
  private heardMs: number;
  /** Silence counts from here at the earliest. */
  private listensMs: number;
  /** When a ping left that is not answered. */
  private pingedMs: number | undefined;
  /** Since `trustFrom` messages were acknowledged. Each doubles the patience, lest a slow link is left for ever. */
  private suspicions = 0;
  private trustFrom = -1;
  /** The suspicion of now has doubled it already. */
  private counted = false;
  /** Links that died one after the other without progress, and the progress then. */
  private deaths = 0;
  private progressAtDeath = -1;
  /** The other side is to be asked now, whatever the time. */
  private asks = false;

  /** `pingsWhenIdle`: the agent. Otherwise the relay, which gives up what is silent for long. */
  constructor(
    private readonly options: { readonly pingsWhenIdle: boolean },
    nowMs: number,
  ) {
    this.heardMs = nowMs;
    this.listensMs = nowMs;
  }

  /** When the last byte came. */
  get lastHeardMs(): number {
    return this.heardMs;
  }

  /** A new link is there. */
  linked(nowMs: number): void {
    this.state = "up";
    this.heardMs = nowMs;
    this.listensMs = nowMs;
    this.pingedMs = undefined;
    this.asks = false;
  }

  /** Bytes came. Returns whether that ends a suspicion. */
  heard(nowMs: number): boolean {
    this.heardMs = nowMs;
    this.listensMs = nowMs;
    if (this.pingedMs !== undefined && this.state === "up" && this.suspicions > 0) this.suspicions--;
    this.pingedMs = undefined;
    if (this.state !== "suspect") return false;
    this.state = "up";
    if (!this.counted) this.suspicions++;
    return true;
  }

  /** This side did not run for a while, or doubts the link for other reasons: what it did not hear says nothing. */
  ask(nowMs: number): void {
    this.listensMs = nowMs;
    this.pingedMs = undefined;
    this.asks = true;
  }

  /** Something is asked and not answered yet. */
  get isAsking(): boolean {
    return this.pingedMs !== undefined || this.asks;
  }

  /** An answer has been owed for longer than a good link takes, whatever else has come meanwhile. */
  isOverdue(facts: LinkFacts, nowMs: number): boolean {
    return facts.oldest !== undefined && nowMs >= facts.oldest.sentMs + this.suspectAfterMs(facts);
  }

  /** This side was asleep: the link is most likely gone. */
  suspect(): void {
    if (this.state === "up") this.state = "suspect";
  }

  /** Looks at the link: whether a ping is due now, and when to look again at the latest. `state` may change. */
  look(facts: LinkFacts, nowMs: number): { readonly ping: boolean; readonly nextMs: number } {
    if (this.state === "dead") return { ping: false, nextMs: Number.POSITIVE_INFINITY };
    const progress = facts.acknowledged + facts.received;
    if (progress >= this.trustFrom + limits.trustAfterMessages) this.suspicions = 0;
    const since = this.silentSince(facts);
    if (since === undefined) return this.lookIdle(facts, nowMs);
    const suspectMs = since + this.suspectAfterMs(facts);
    const deadMs = since + this.deadAfterMs(facts);
    if (nowMs >= deadMs) {
      this.state = "dead";
      this.deaths = this.hasProgress(facts) ? 1 : this.deaths + 1;
      this.progressAtDeath = facts.acknowledged + facts.received;
      return { ping: false, nextMs: Number.POSITIVE_INFINITY };
    }
    if (nowMs < suspectMs) return { ping: false, nextMs: Math.min(suspectMs, deadMs) };
    if (this.state === "up") {
      this.state = "suspect";
      this.counted = progress === this.trustFrom;
      if (this.counted) this.suspicions++;
      this.trustFrom = progress;
    }
    return { ping: false, nextMs: deadMs };
  }

  private lookIdle(facts: LinkFacts, nowMs: number): { readonly ping: boolean; readonly nextMs: number } {
    const { pingsWhenIdle } = this.options;
    const busy = facts.openStreams > 0;
    const afterMs = busy ? limits.busyPingMs : pingsWhenIdle ? limits.idlePingMs : limits.silenceMs;
    const dueMs = this.asks ? nowMs : this.listensMs + afterMs;
    if (nowMs < dueMs) return { ping: false, nextMs: dueMs };
    if (!busy && !pingsWhenIdle && !this.asks) {
      this.state = "dead";
      return { ping: false, nextMs: Number.POSITIVE_INFINITY };
    }
    this.asks = false;
    this.pingedMs = nowMs;
    return { ping: true, nextMs: nowMs + this.suspectAfterMs(facts) };
  }

  /** Since when an answer has been owed without a byte coming; undefined: none is owed. */
  private silentSince({ oldest }: LinkFacts): number | undefined {
    const owed =
      oldest === undefined ? this.pingedMs : Math.min(oldest.sentMs, this.pingedMs ?? oldest.sentMs);
    return owed === undefined ? undefined : Math.max(owed, this.listensMs);
  }

  private hasProgress({ acknowledged, received }: LinkFacts): boolean {
    return acknowledged + received > this.progressAtDeath;
  }

  private suspectAfterMs({ oldest, tripMs, rate }: LinkFacts): number {
    const bytes = oldest === undefined ? 0 : oldest.bytes.length;
    const transferMs = Math.min(limits.maxTransferMs, bytes / (rate || limits.unknownRate));
    const basicMs =
      limits.timelyShare * Math.max(limits.suspectTrips * tripMs, limits.minSuspectMs) + transferMs;
    return Math.min(limits.maxDelayMs, basicMs * 2 ** this.suspicions);
  }

  private deadAfterMs(facts: LinkFacts): number {
    const { worstTripMs, tripMs, unacknowledgedBytes, linkRate } = facts;
    const transferMs = unacknowledgedBytes / (linkRate || limits.unknownRate);
    const basicMs = limits.deathBaseMs + Math.max(worstTripMs, tripMs) + transferMs;
    const boundMs = Math.min(limits.maxDelayMs, Math.max(limits.minDeathMs, basicMs));
    return Math.min(limits.maxDelayMs, boundMs * (this.hasProgress(facts) ? 1 : 2 ** this.deaths));
  }
}
