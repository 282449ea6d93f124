import type { Crowd } from "./mux/flight.ts";
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
  /** Slow: so little in so many round trips. TCP needs eight or nine to fill a long road. */
  slowTrips: 12,
  minSlowMs: 1_000,
  /** Bytes a millisecond: less is little on any road. It is what TCP sends in a first round trip (RFC 6928) of 150 ms. */
  leastRate: 100,
  /** So long a new link is not judged. */
  slowPauseMs: 10_000,
  /** So much less than what its road carries is little; a link that begins carries more in the same time. */
  lagsBy: 32,
  /** A link that is so much quicker than the slow one before it shows that the road is not to blame. */
  quickerBy: 4,
} as const;

/** What is known of the session when the link is looked at. Times as in `Clock.now()`. */
export interface LinkFacts {
  /** The oldest counted message that is not acknowledged. */
  readonly oldest: { readonly sentMs: number; readonly bytes: Uint8Array } | undefined;
  readonly unacknowledgedBytes: number;
  readonly tripMs: number;
  readonly smallestTripMs: number;
  readonly worstTripMs: number;
  /** Bytes a millisecond, of late; 0: not known. */
  readonly rate: number;
  /** The same of this link alone. */
  readonly linkRate: number;
  /** The most that was measured of late, on this link or others of the same road. */
  readonly roadRate: number;
  /** undefined: what is in flight does not wait. */
  readonly crowd: Crowd | undefined;
  readonly openStreams: number;
  /** How many counted messages were acknowledged so far. */
  readonly acknowledged: number;
  /** The same of those that came. */
  readonly received: number;
}

/** What a session knows of the link that it has. `roadRate`: what others know. */
export function factsOf({ ledger, unacknowledgedBytes, openStreams }: Session, roadRate = 0): LinkFacts {
  const { oldest, acknowledgedCount: acknowledged, received, flight } = ledger;
  const { smallestTripMs, worstTripMs, rate, linkRate, bestRate, crowd, roadMs: tripMs } = flight;
  return {
    ...{ oldest, unacknowledgedBytes, openStreams, acknowledged, received },
    ...{ tripMs, smallestTripMs, worstTripMs, rate, linkRate, crowd },
    roadRate: Math.max(roadRate, bestRate),
  };
}

export interface Finding {
  /** A ping is due now. */
  readonly ping: boolean;
  /** When to look again at the latest. */
  readonly nextMs: number;
  /** The link has become slow: another may carry more. */
  readonly slow?: true;
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
  /** Before this nothing is owed that would make the link slow. */
  private patientUntilMs: number;
  /** Bytes a millisecond, at most, that the last slow link carried. */
  private slowRate = 0;

  /** `pingsWhenIdle`: the agent. Otherwise the relay, which gives up what is silent for long. */
  constructor(
    private readonly options: { readonly pingsWhenIdle: boolean },
    nowMs: number,
  ) {
    this.heardMs = nowMs;
    this.listensMs = nowMs;
    this.patientUntilMs = nowMs + limits.slowPauseMs;
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
    this.patientUntilMs = nowMs + limits.slowPauseMs;
  }

  /** Bytes came. Returns whether that ends a suspicion. */
  heard(nowMs: number): boolean {
    this.heardMs = nowMs;
    this.listensMs = nowMs;
    if (this.pingedMs !== undefined && this.state === "up" && this.suspicions > 0) this.suspicions--;
    this.pingedMs = undefined;
    if (this.state !== "suspect") return false;
    this.state = "up";
    this.patientUntilMs = Math.max(this.patientUntilMs, nowMs);
    if (!this.counted) this.suspicions++;
    return true;
  }

  /** This side did not run for a while, or doubts the link for other reasons: what it did not hear says nothing. */
  ask(nowMs: number): void {
    this.listensMs = nowMs;
    this.patientUntilMs = Math.max(this.patientUntilMs, nowMs);
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

  /** Looks at the link. `state` may change. */
  look(facts: LinkFacts, nowMs: number): Finding {
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
    if (nowMs < suspectMs) {
      const slow = nowMs >= this.slowAtMs(facts);
      if (slow) this.foundSlow(facts, nowMs);
      const nextMs = Math.min(suspectMs, deadMs, this.slowAtMs(facts));
      return { ping: false, nextMs, ...(slow && { slow }) };
    }
    if (this.state === "up") {
      this.state = "suspect";
      this.counted = progress === this.trustFrom;
      if (this.counted) this.suspicions++;
      this.trustFrom = progress;
    }
    return { ping: false, nextMs: deadMs };
  }

  private lookIdle(facts: LinkFacts, nowMs: number): Finding {
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

  /**
   * From when on the link is slow: what is sent waits, and far less arrives than the road carries, so that another link may
   * do better. TCP under BBR may take the one packet that it lost while little was sent for all that the road carries, and
   * needs a minute to find more (measured at 150 ms and 1 % loss: 0.4 instead of 9 MiB/s). A link whose predecessor was slow
   * is left alone where it is no quicker: then it is the road. One in doubt is, too: another is dialled anyway.
   */
  private slowAtMs({ oldest, crowd, linkRate, roadRate, smallestTripMs }: LinkFacts): number {
    const never = Number.POSITIVE_INFINITY;
    if (this.state !== "up" || linkRate < limits.quickerBy * this.slowRate) return never;
    if (oldest === undefined || crowd === undefined || oldest.sentMs > crowd.untilMs + smallestTripMs)
      return never;
    const patienceMs = Math.max(limits.minSlowMs, limits.slowTrips * smallestTripMs);
    const dueMs = Math.max(crowd.sinceMs, this.patientUntilMs) + patienceMs;
    const expected = Math.max(limits.leastRate, roadRate / limits.lagsBy) * (dueMs - crowd.sinceMs);
    return crowd.bytes < expected ? dueMs : never;
  }

  private foundSlow({ crowd }: LinkFacts, nowMs: number): void {
    this.slowRate = crowd === undefined ? 0 : crowd.bytes / (nowMs - crowd.sinceMs);
    this.patientUntilMs = nowMs + limits.slowPauseMs;
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
