import type { Clock } from "./clock.ts";
import type { Gauge } from "./mux/gauge.ts";

/** Bounds of what waits for agents that are away. */
export const holdLimits = {
  /** Longer than an agent needs to dial again, shorter than visitors wait before they give up. */
  holdMs: 10_000,
  /** So that one tunnel can't take all places; a busy one sees some hundred requests in the second of a restart. */
  maxPerTunnel: 1_024,
  maxWaiting: 4_096,
  /** Of heads, and of the beginnings of bodies that came with them. */
  maxHeldBytes: 16_777_216,
  /** Of requests under way that no agent has answered yet: above it they can't be sent again. */
  maxUnderWayBytes: 16_777_216,
  /** A session that was full tells nobody that it has room again: so often it is asked. */
  askAgainMs: 100,
} as const;

/** What the hold counts: who wait, who ever waited, who did so in vain. */
export interface HoldMeter {
  held: number;
  holds: number;
  holdsExpired: number;
}

export interface HoldDeps {
  readonly clock: Clock;
  readonly metrics: HoldMeter;
  /** Counts what is held. */
  readonly held?: Gauge;
}

export type HoldLimits = { readonly [limit in keyof typeof holdLimits]: number };

/** A request that waits for an agent. Neither call may throw. */
export interface HeldRequest {
  /** An agent may be there. false: not for this one, which waits on. true: it is over, be it taken or refused. */
  tryAgain(): boolean;
  /** It has waited long enough. */
  expire(): void;
}

/** A request's place in the queue. */
export interface HeldPlace {
  /** More of the request has come. false: there is no room for it, and the place is lost. */
  grow(bytes: number): boolean;
  /** Nobody waits here any more. Idempotent. */
  leave(): void;
}

class Place implements HeldPlace {
  constructor(
    private readonly hold: { grow(place: Place, bytes: number): boolean; remove(place: Place): void },
    readonly name: string,
    readonly request: HeldRequest,
    readonly untilMs: number,
    public bytes: number,
  ) {}

  grow(bytes: number): boolean {
    return this.hold.grow(this, bytes);
  }
  leave(): void {
    this.hold.remove(this);
  }
}

/**
 * Requests whose tunnel has no agent for the moment: first come, first served for each tunnel, bounded in number, bytes
 * and time. It knows nothing of tunnels: whoever sees an agent come calls `tryAgain`.
 */
export class Hold {
  /** In the order of their ends, as all wait equally long. */
  private readonly places = new Set<Place>();
  private readonly queues = new Map<string, Set<Place>>();
  private readonly trying = new Set<string>();
  private bytes = 0;
  private underWayBytes = 0;
  private cancelTimer: (() => void) | undefined;

  constructor(
    private readonly deps: HoldDeps,
    private readonly limits: HoldLimits = holdLimits,
  ) {}

  /** How many wait. */
  get waiting(): number {
    return this.places.size;
  }
  /** Bytes of what waits, and of what is under way and may come back. */
  get heldBytes(): number {
    return this.bytes + this.underWayBytes;
  }

  /** Whether somebody waits for this tunnel: who comes later goes behind. */
  holds(name: string): boolean {
    return this.queues.has(name);
  }

  /** Takes a request of `bytes` in. undefined: a bound is reached, and it gets its refusal now. */
  enter(name: string, request: HeldRequest, bytes: number): HeldPlace | undefined {
    const { limits, deps } = this;
    const queue = this.queues.get(name) ?? new Set<Place>();
    if (
      this.places.size >= limits.maxWaiting ||
      queue.size >= limits.maxPerTunnel ||
      this.bytes + bytes > limits.maxHeldBytes
    )
      return undefined;
    const place = new Place(this, name, request, deps.clock.now() + limits.holdMs, bytes);
    this.places.add(place);
    this.queues.set(name, queue.add(place));
    this.weigh(bytes);
    deps.metrics.held = this.places.size;
    deps.metrics.holds++;
    if (this.cancelTimer === undefined) this.wakeLater();
    return place;
  }

  /** An agent of this tunnel takes streams again, or will not come back. In order, up to the first that must wait on. */
  tryAgain(name: string): void {
    const queue = this.queues.get(name);
    // A request that is answered here can make room for the next of the same visitor, which ends up here again.
    if (queue === undefined || this.trying.has(name)) return;
    this.trying.add(name);
    // Those that come meanwhile have just been told.
    let left = queue.size;
    for (const place of queue) {
      if (left-- === 0 || !place.request.tryAgain()) break;
      this.remove(place);
    }
    this.trying.delete(name);
  }

  /** Agents of any tunnel may take streams again. */
  tryAll(): void {
    for (const name of [...this.queues.keys()]) this.tryAgain(name);
  }

  /** Room for a request under way, which may have to come back. false: there is none, and it can't. */
  borrow(bytes: number): boolean {
    if (this.underWayBytes + bytes > this.limits.maxUnderWayBytes) return false;
    this.underWayBytes += bytes;
    this.deps.held?.add(bytes);
    return true;
  }
  giveBack(bytes: number): void {
    this.underWayBytes -= bytes;
    this.deps.held?.add(-bytes);
  }

  // For its places.

  grow(place: Place, bytes: number): boolean {
    if (!this.places.has(place)) return true;
    if (this.bytes + bytes > this.limits.maxHeldBytes) {
      this.remove(place);
      return false;
    }
    place.bytes += bytes;
    this.weigh(bytes);
    return true;
  }

  remove(place: Place): void {
    if (!this.places.delete(place)) return;
    this.weigh(-place.bytes);
    this.deps.metrics.held = this.places.size;
    const queue = this.queues.get(place.name);
    queue?.delete(place);
    if (queue?.size === 0) this.queues.delete(place.name);
    if (this.places.size > 0) return;
    // An idle relay has no timer of ours.
    this.cancelTimer?.();
    this.cancelTimer = undefined;
  }

  private weigh(bytes: number): void {
    this.bytes += bytes;
    this.deps.held?.add(bytes);
  }

  /** One timer for all. */
  private wakeLater(): void {
    const { clock } = this.deps;
    const [first] = this.places;
    if (first === undefined) return;
    const atMs = Math.min(first.untilMs, clock.now() + this.limits.askAgainMs);
    this.cancelTimer = clock.at(atMs, () => {
      this.cancelTimer = undefined;
      this.expire();
      this.tryAll();
      if (this.cancelTimer === undefined) this.wakeLater();
    });
  }

  private expire(): void {
    const nowMs = this.deps.clock.now();
    for (const place of this.places) {
      if (place.untilMs > nowMs) return;
      this.remove(place);
      this.deps.metrics.holdsExpired++;
      place.request.expire();
    }
  }
}
