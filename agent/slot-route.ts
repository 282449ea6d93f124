import type { Clock } from "../shared/clock.ts";
import type { Greeted } from "../shared/dial/greeting.ts";
import { RelayRefusal } from "../shared/dial/relay-refusal.ts";
import type { Route } from "../shared/dial/route.ts";
import type { Code, UnderpassError } from "../shared/errors.ts";
import type { Place, Places } from "./places.ts";

/** Refusals that are about the agent itself, whichever relay says so. */
const ofAgent: ReadonlySet<Code> = new Set<Code>(["superseded", "token-expired", "usage"]);
/** The current session, and those that finish their streams. What is forgotten of an older one is only a preference. */
const maxTrails = 5;

/** The dials for one session, or for fresh ones, since the last that brought a link. */
class Trail {
  /** In the order of the latest failure of each. */
  readonly failed = new Set<Place>();
  /** Where a relay asked to be left alone, until when. */
  readonly shutMs = new Map<Place, number>();
  /** Of the latest dial. */
  dialled: Place | undefined;

  /** `home`: where the session's last link went; of fresh sessions none. */
  constructor(public home?: Place) {}

  hasFailed(place: Place): void {
    this.failed.delete(place);
    this.failed.add(place);
  }

  clear(): void {
    this.failed.clear();
    this.shutMs.clear();
  }
}

/**
 * Where the dials of one slot go. A session is resumed where its last link went, a fresh one begins where the fewest of
 * the agent's slots are; after a failure it is the turn of the other places, one after the other. Pure, but for the clock.
 */
export class SlotRoute implements Route {
  readonly #places: Places;
  readonly #clock: Clock;
  /** Of all slots of the agent. */
  readonly #routes: readonly SlotRoute[];
  readonly #fresh = new Trail();
  readonly #sessions = new Map<string, Trail>();
  /** The session that began last. */
  #newest: string | undefined;
  #at: Place | undefined;

  constructor(places: Places, clock: Clock, routes: readonly SlotRoute[]) {
    this.#places = places;
    this.#clock = clock;
    this.#routes = routes;
  }

  /** Where the slot's link goes, or was to go last. */
  get at(): Place | undefined {
    return this.#at;
  }

  /** Where to dial now, for `session` or (undefined) for a fresh one. */
  next(session: string | undefined): Place {
    const trail = this.#trailOf(session);
    const nowMs = this.#clock.now();
    const failed = [...trail.failed];
    const [first, ...others] = this.#known(trail).map((place, index) => ({
      place,
      rank: [
        Number((trail.shutMs.get(place) ?? 0) > nowMs),
        // Those that have not failed first (-1), then the one that did so the longest ago.
        failed.indexOf(place),
        Number(session !== undefined && place !== trail.home),
        this.#routes.filter((route) => route !== this && route.#at === place).length,
        Number(place !== this.#at),
        index,
      ],
    }));
    if (first === undefined) throw new RangeError("an agent knows a relay");
    const { place } = others.reduce(
      (best, other) => (comesBefore(other.rank, best.rank) ? other : best),
      first,
    );
    trail.dialled = place;
    if (session === undefined) this.#at = place;
    return place;
  }

  greeted({ hello, welcome }: Greeted): void {
    const session = hello.resume?.session;
    const trail = this.#trailOf(session);
    const { dialled } = trail;
    if (dialled === undefined) return;
    trail.clear();
    if (welcome.resumed) trail.home = dialled;
    else {
      if (session !== undefined) this.#sessions.delete(session);
      this.#newest = welcome.session;
      this.#keep(welcome.session, new Trail(dialled));
    }
    if (welcome.session === this.#newest) {
      this.#at = dialled;
      this.#fresh.clear();
    }
    this.#places.named(welcome.relays ?? [], dialled, new Set(this.#routes.map(({ at }) => at)));
  }

  refused(
    error: UnderpassError,
    session: string | undefined,
    { spare }: { readonly spare: boolean },
  ): UnderpassError {
    const trail = this.#trailOf(session);
    const { dialled } = trail;
    // A link that is good is not given up for another place.
    if (spare || dialled === undefined) return error;
    trail.hasFailed(dialled);
    // A relay that only can't reach another is good enough for a fresh session.
    if (session === this.#newest && error.code !== "session-elsewhere") this.#fresh.hasFailed(dialled);
    const isForgiven = error.fatal && !dialled.isGiven && !ofAgent.has(error.code);
    if (isForgiven) this.#places.drop(dialled);
    const askedMs = error instanceof RelayRefusal ? error.retryAfterMs : 0;
    const nowMs = this.#clock.now();
    if (askedMs > 0) trail.shutMs.set(dialled, nowMs + askedMs);
    const known = this.#known(trail);
    if (!isForgiven && (askedMs === 0 || known.length === 1)) return error;
    // What one relay asks for is nothing to the others.
    const openMs = Math.min(...known.map((place) => trail.shutMs.get(place) ?? nowMs));
    const code = isForgiven ? "relay-unreachable" : error.code;
    const text = `${dialled.relay.origin}: ${error.message}`;
    return new RelayRefusal(code, text, Math.max(0, openMs - nowMs));
  }

  /** The relay that the slot is at wants it to go: another has its turn first. */
  left(): void {
    if (this.#at !== undefined) this.#fresh.hasFailed(this.#at);
  }

  /** The link is good: what failed before it says nothing of the next loss. */
  settled(): void {
    this.#fresh.clear();
    if (this.#newest !== undefined) this.#sessions.get(this.#newest)?.clear();
  }

  #known({ home }: Trail): readonly Place[] {
    const { all } = this.#places;
    return home === undefined || all.includes(home) ? all : [...all, home];
  }

  #trailOf(session: string | undefined): Trail {
    if (session === undefined) return this.#fresh;
    const trail = this.#sessions.get(session) ?? new Trail();
    this.#keep(session, trail);
    return trail;
  }

  #keep(session: string, trail: Trail): void {
    this.#sessions.set(session, trail);
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= maxTrails) break;
      this.#sessions.delete(oldest);
    }
  }
}

/** Number by number: the first that differs decides. */
function comesBefore(one: readonly number[], other: readonly number[]): boolean {
  const at = one.findIndex((number, index) => number !== other[index]);
  return at >= 0 && (one[at] ?? 0) < (other[at] ?? 0);
}
