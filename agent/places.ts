import type { GiveUp } from "../shared/dial/place.ts";
import type { RelayDoor } from "./agent.ts";
import { isLoopback } from "./command/relay-link.ts";
import type { MoveLinks } from "./dial/transport.ts";

/** One of the relays that an agent may dial. */
export interface Place {
  readonly relay: URL;
  readonly door: RelayDoor;
  /** The user named it; else another relay did. */
  readonly isGiven: boolean;
}

export interface PlacesOptions {
  /** Those that the user named, at least one, the preferred first. */
  readonly relays: readonly URL[];
  /** The user lets the token go over plain http to other machines. */
  readonly insecure: boolean;
  /** Each relay has one of its own: what stands before one, and what it takes, says nothing of the next. */
  readonly door: (relay: URL) => RelayDoor;
  /** Links at `place` had better go another way. */
  readonly move: (place: Place, ...how: Parameters<MoveLinks>) => ReturnType<MoveLinks>;
}

/** The relays that one agent knows: those that it was given, and those that the newest WELCOME named. */
export class Places {
  readonly #options: PlacesOptions;
  readonly #known = new Map<string, { readonly place: Place; readonly close: GiveUp }>();
  /** In the order in which they had better be used. */
  #all: readonly Place[];

  constructor(options: PlacesOptions) {
    this.#options = options;
    this.#all = [...new Set(options.relays.map((relay) => this.#placeAt(relay, true)))];
  }

  /** At least one; those that were given come first. */
  get all(): readonly Place[] {
    return this.#all;
  }

  /** The relay at `by` has named others. `used`: places that are kept, named or not. */
  named(relays: readonly string[], by: Place, used: ReadonlySet<Place | undefined>): void {
    const hinted = relays.flatMap((text) => {
      const relay = URL.parse(text);
      return relay !== null && this.#mayDial(relay) ? [this.#placeAt(relay, false)] : [];
    });
    const given = this.#all.filter(({ isGiven }) => isGiven);
    // No relay names itself.
    this.#all = [...new Set([...given, ...hinted, by])];
    for (const [key, { place, close }] of this.#known) {
      if (this.#all.includes(place) || used.has(place)) continue;
      close();
      this.#known.delete(key);
    }
  }

  /** It has refused for good what another relay may well take: it is not dialled until one names it again. */
  drop(dropped: Place): void {
    this.#all = this.#all.filter((place) => place.isGiven || place !== dropped);
  }

  /** No link is moved any more. */
  close(): void {
    for (const { close } of this.#known.values()) close();
  }

  /** What a relay names must not lead the token where the user would have been asked for --insecure. */
  #mayDial({ protocol, hostname, username, password }: URL): boolean {
    if (username !== "" || password !== "") return false;
    if (protocol !== "http:") return protocol === "https:";
    const { relays, insecure } = this.#options;
    return isLoopback(hostname) || (insecure && relays.every((relay) => relay.protocol === "http:"));
  }

  #placeAt(relay: URL, isGiven: boolean): Place {
    const key = `${relay.origin}${relay.pathname.replace(/\/+$/, "")}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known.place;
    const place: Place = { relay, isGiven, door: this.#options.door(relay) };
    const close = place.door.follow?.((how) => this.#options.move(place, how)) ?? (() => {});
    this.#known.set(key, { place, close });
    return place;
  }
}
