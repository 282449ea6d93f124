import { originLimits } from "./limits.ts";

/** A socket that is being opened, or is open and has not given its first byte. */
export interface Newcomer {
  /** When another exchange first ended, and its socket stayed open, while this one waited. */
  passedOverAtMs: number | undefined;
}

/**
 * Sees to it that an idle socket starves no new one. An origin that serves one socket at a time (python's http.server, many
 * development servers) doesn't even look at a new socket while an idle one stands open; one with N threads likewise for
 * the N+1st. The cure is to close one open socket for each newcomer that has been passed over for too long: `patience`.
 *
 * To close at once would turn every busy pool into one socket a request. So it is found out what the origin is: a first
 * byte on one socket while another, older one is open proves that it serves several. A newcomer passed over for
 * 10 ms is taken for the opposite, for a second.
 */
export class Crowd {
  /** Newcomers that nobody has been put before yet, and those that wait since. Both in order. */
  readonly #fresh = new Set<Newcomer>();
  readonly #passedOver = new Set<Newcomer>();
  #belief: "unknown" | "concurrent" | "serial" = "unknown";
  #serialUntilMs = 0;

  arrive(): Newcomer {
    const newcomer: Newcomer = { passedOverAtMs: undefined };
    this.#fresh.add(newcomer);
    return newcomer;
  }

  /** It needs no care any more: it gave a byte, or is gone. */
  leave(newcomer: Newcomer): void {
    this.#fresh.delete(newcomer);
    this.#passedOver.delete(newcomer);
  }

  /** A newcomer gave its first byte while another socket that the origin had served before was open. */
  concurrent(): void {
    this.#belief = "concurrent";
  }

  /** An exchange has ended, and its socket could stay: all who wait are passed over. */
  pass(nowMs: number): void {
    if (this.#fresh.size === 0) return;
    for (const newcomer of this.#fresh) {
      newcomer.passedOverAtMs = nowMs;
      this.#passedOver.add(newcomer);
    }
    this.#fresh.clear();
  }

  /** When a socket is to be closed for somebody's sake; undefined when nobody waits. */
  dueMs(nowMs: number): number | undefined {
    if (this.#passedOver.size === 0) return undefined;
    for (const newcomer of this.#passedOver)
      return (newcomer.passedOverAtMs ?? nowMs) + this.#patienceMs(nowMs);
    return undefined;
  }

  /** A socket is being closed for the one who has waited longest. One is enough: origins accept in order. */
  relieve(nowMs: number): void {
    for (const newcomer of this.#passedOver) {
      this.#passedOver.delete(newcomer);
      break;
    }
    if (this.#belief === "concurrent") {
      this.#belief = "unknown";
    } else {
      this.#belief = "serial";
      this.#serialUntilMs = nowMs + originLimits.serialBeliefMs;
    }
  }

  #patienceMs(nowMs: number): number {
    if (this.#belief === "serial" && nowMs >= this.#serialUntilMs) this.#belief = "unknown";
    if (this.#belief === "serial") return 0;
    return this.#belief === "concurrent" ? originLimits.patienceConcurrentMs : originLimits.patienceUnknownMs;
  }
}
