import { limits } from "./limits.ts";
import type { Memory } from "./memory.ts";

/** The largest (or smallest) sample of the last one to two spans, in constant memory. */
class Extreme {
  private current: number;
  private previous: number;
  private spanEndsMs = 0;
  constructor(
    private readonly worst: number,
    private readonly better: (a: number, b: number) => number,
  ) {
    this.current = worst;
    this.previous = worst;
  }
  get value(): number {
    return this.better(this.current, this.previous);
  }
  add(sample: number, nowMs: number, spanMs: number): void {
    if (nowMs >= this.spanEndsMs) {
      this.previous = nowMs >= this.spanEndsMs + spanMs ? this.worst : this.current;
      this.current = this.worst;
      this.spanEndsMs = nowMs + spanMs;
    }
    this.current = this.better(this.current, sample);
  }
}

/** A time in which all that was acknowledged had had to wait for what was before it, without a pause of a round trip. */
export interface Crowd {
  /** When the first of it left. */
  readonly sinceMs: number;
  /** When the last of it was acknowledged. */
  readonly untilMs: number;
  /** What was acknowledged in it. */
  readonly bytes: number;
}

/**
 * How much may be unacknowledged: about twice the measured rate times the smallest round trip (PROTOCOL.md section 5),
 * so that buffers stay short and a small request does not wait behind a bulk one.
 */
export class Flight {
  private earlierRate = 0;
  private rates = new Extreme(0, Math.max);
  private trips = new Extreme(Number.POSITIVE_INFINITY, Math.min);
  private worstTrips = new Extreme(0, Math.max);
  private readonly bestRates = new Extreme(0, Math.max);
  private acknowledgedBytes = 0;
  /** Of the last ACK. */
  private newlyBytes = 0;
  /** Smoothed round trip in ms (RFC 6298 weights). */
  smoothedTripMs: number;
  /** How far round trips lie from the smoothed one (RFC 6298 weights). */
  private tripDeviationMs = 0;
  unacknowledgedBytes = 0;
  /** undefined: the last that was acknowledged did not wait. */
  crowd: Crowd | undefined;
  budgetBytes: number = limits.minFlightBytes;

  /** `handshakeTripMs`: what the handshake took, until ACKs tell more; a side that only receives has nothing else. 0: not known. */
  constructor(
    private handshakeTripMs: number,
    private readonly memory: Memory,
  ) {
    this.smoothedTripMs = handshakeTripMs;
  }

  /** The smallest round trip of the last 10 to 20 s; 0 until measured. */
  get smallestTripMs(): number {
    return Number.isFinite(this.trips.value) ? this.trips.value : 0;
  }

  /** The smoothed round trip, less the time that an ACK may have waited for company. */
  get roadMs(): number {
    const { smallestTripMs, smoothedTripMs } = this;
    return smallestTripMs === 0
      ? smoothedTripMs
      : Math.max(smallestTripMs, smoothedTripMs - limits.ackDelayMs);
  }

  /**
   * What a reader's credit takes, as far as is known. Where one small answer goes after the other, each ACK has waited:
   * then the handshake, which waits for nothing, tells more.
   */
  get creditTripMs(): number {
    const { handshakeTripMs, smoothedTripMs } = this;
    if (handshakeTripMs === 0) return smoothedTripMs;
    return Math.min(smoothedTripMs, Math.max(handshakeTripMs, smoothedTripMs - limits.ackDelayMs));
  }

  /** So long a road that each step of growth costs, and that packets may be lost on it. */
  get isLong(): boolean {
    const { handshakeTripMs, smallestTripMs, smoothedTripMs } = this;
    const tripMs = smallestTripMs || smoothedTripMs;
    return Math.min(tripMs, handshakeTripMs || tripMs) >= limits.longTripMs;
  }

  /** The worst round trip of the last 2.5 to 5 minutes. */
  get worstTripMs(): number {
    return Math.max(this.worstTrips.value, this.smoothedTripMs);
  }

  /** Bytes a millisecond, of late, or of the link before while nothing is measured; 0: not known. */
  get rate(): number {
    return this.rates.value || this.earlierRate;
  }

  /** The same of this link alone. */
  get linkRate(): number {
    return this.rates.value;
  }

  /** The best of the last 10 to 20 minutes, on whatever link. */
  get bestRate(): number {
    return this.bestRates.value;
  }

  get full(): boolean {
    const most = this.memory.isScarce ? limits.scarceFlightBytes : this.budgetBytes;
    return this.unacknowledgedBytes >= most;
  }

  /** A counted message leaves. */
  sent(bytes: number): void {
    this.unacknowledgedBytes += bytes;
  }

  /** So little is in flight that what is acknowledged tells how much was to be sent, and not what the link carries. */
  get isSlack(): boolean {
    return this.unacknowledgedBytes < this.budgetBytes / 2;
  }

  /** Nothing is in flight any more. */
  clear(): void {
    this.unacknowledgedBytes = 0;
  }

  /** The session is on another link, whose handshake took `tripMs`: the old one's round trips say nothing of it. */
  moved(tripMs: number): void {
    this.trips = new Extreme(Number.POSITIVE_INFINITY, Math.min);
    this.worstTrips = new Extreme(0, Math.max);
    this.earlierRate = this.rate;
    this.rates = new Extreme(0, Math.max);
    this.crowd = undefined;
    this.handshakeTripMs = tripMs;
    this.smoothedTripMs = tripMs;
  }

  /** How large a message may be, so that the link does not carry it for long. */
  get messageBytes(): number {
    const rate = this.linkRate;
    if (rate === 0 || this.memory.isScarce) return limits.firstMessageBytes;
    const bytes = Math.floor(rate * limits.messageMs);
    return Math.min(limits.maxMessageBytes, Math.max(limits.slowMessageBytes, bytes));
  }

  /** How much of a stream may go in its first turn, while others wait. */
  get firstTurnBytes(): number {
    return Math.min(this.messageBytes, limits.turnBytes);
  }

  /**
   * The same in each turn after. On a quick link more at a time, as each piece is a write to somebody's socket: measured
   * with 16 streams on loopback, a third more in all than with 16 KiB. A message holds a whole number of turns, as a long
   * one ends with it: of two streams the second would have what the first leaves, each time.
   */
  get turnBytes(): number {
    const most = limits.maxMessageBytes;
    const bytes = Math.min(most, Math.max(limits.turnBytes, this.linkRate * limits.turnMs));
    return Math.min(this.messageBytes, Math.floor(most / Math.ceil(most / bytes)));
  }

  /** What `measured` wants back for a message that leaves now. */
  get mark(): number {
    return this.acknowledgedBytes;
  }

  /** `bytes` were acknowledged by one ACK. */
  acknowledged(bytes: number): void {
    this.unacknowledgedBytes -= bytes;
    this.acknowledgedBytes += bytes;
    this.newlyBytes = bytes;
  }

  /** The newest message of an ACK left at `sentMs` with `mark`; `slack` as `isSlack` was then. */
  measured(mark: number, sentMs: number, nowMs: number, slack: boolean): void {
    const tripMs = Math.max(nowMs - sentMs, 0.01);
    if (this.smoothedTripMs > 0)
      this.tripDeviationMs = this.tripDeviationMs * 0.75 + Math.abs(this.smoothedTripMs - tripMs) * 0.25;
    this.smoothedTripMs = this.smoothedTripMs === 0 ? tripMs : this.smoothedTripMs * 0.875 + tripMs * 0.125;
    this.trips.add(tripMs, nowMs, 10_000);
    this.worstTrips.add(tripMs, nowMs, 150_000);
    const smallestMs = this.trips.value;
    const rate = (this.acknowledgedBytes - mark) / tripMs;
    // Otherwise a pause would be taken for a slow link, and the next bulk begin as on a new one.
    if (!slack || rate > this.rates.value) this.rates.add(rate, nowMs, Math.max(10 * smallestMs, 50));
    this.bestRates.add(rate, nowMs, 600_000);
    this.crowd = this.isLong ? this.crowdWith(sentMs, nowMs) : undefined;
    // Where loss makes trips uneven, what waits for a piece to be sent again must not stop the rest. On a short road it
    // is processors that make them so, and more in flight would only fill memory (a third more of it, measured).
    const unevenMs = this.isLong ? Math.min(2 * smallestMs, 2 * this.tripDeviationMs) : 0;
    const wanted = this.rates.value * (2 * smallestMs + unevenMs);
    this.budgetBytes = Math.min(this.memory.bounds.maxFlightBytes, Math.max(limits.minFlightBytes, wanted));
  }

  /** What the crowd is when what left at `sentMs` has been acknowledged. */
  private crowdWith(sentMs: number, nowMs: number): Crowd | undefined {
    const { crowd, newlyBytes, smallestTripMs } = this;
    if (nowMs - sentMs <= 2 * smallestTripMs + limits.ackDelayMs) return undefined;
    const goesOn = crowd !== undefined && sentMs <= crowd.untilMs + smallestTripMs;
    return goesOn
      ? { sinceMs: crowd.sinceMs, untilMs: nowMs, bytes: crowd.bytes + newlyBytes }
      : { sinceMs: sentMs, untilMs: nowMs, bytes: newlyBytes };
  }
}
