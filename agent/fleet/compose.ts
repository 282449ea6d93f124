import type { ListenAddress } from "../../shared/listen-address.ts";
import type { ExposeCommand } from "../command/options.ts";
import type { RelayLink } from "../command/relay-link.ts";
import { compose } from "../compose/compose.ts";
import { composeTunnel, type Surroundings } from "../compose/compose-tunnel.ts";
import { openRelayPlace, type RelayPlace } from "../compose/relay-place.ts";
import type { Running } from "../compose/running.ts";
import { tunnelName } from "../config/changes.ts";
import type { ComposeEntry } from "./run.ts";

export interface FleetSurroundings extends Omit<Surroundings, "onBlockedHost"> {
  /** An answer looked like a dev server's that refuses the Host. */
  readonly onBlockedHost: (tunnel: string | undefined) => void;
}

/** A relay in this process, as long as a tunnel is at it. */
interface SharedPlace {
  readonly place: Promise<RelayPlace>;
  users: number;
}

/** Puts entries of a file together. Tunnels without a relay share one that runs in this process. */
export class FleetCompose {
  readonly #given: FleetSurroundings;
  /** By where they listen: while that is being changed, there are two. */
  readonly #shared = new Map<string, SharedPlace>();

  constructor(given: FleetSurroundings) {
    this.#given = given;
  }

  readonly compose: ComposeEntry = async (command, onEvent) => {
    const { platform, version } = this.#given;
    const onBlockedHost = (): void => this.#given.onBlockedHost(tunnelName(command));
    const surroundings = { platform, version, onEvent, onBlockedHost };
    if (command.command !== "expose") return await compose({ ...surroundings, command });
    if (command.link.relays === undefined) return await this.#composeShared(command, surroundings);
    const { tunnel, link } = command;
    const place = await openRelayPlace({ link, platform, onEvent });
    return composeTunnel({ ...surroundings, tunnel, link, place });
  };

  async #composeShared(
    { tunnel, link, listen }: ExposeCommand,
    surroundings: Surroundings,
  ): Promise<Running> {
    const key = JSON.stringify(listen ?? null);
    const shared = this.#sharedAt(key, link, listen);
    shared.users++;
    const leave = (): void => {
      if (--shared.users === 0 && this.#shared.get(key) === shared) this.#shared.delete(key);
    };
    let place: RelayPlace;
    try {
      place = await shared.place;
    } catch (error) {
      leave();
      throw error;
    }
    const running = composeTunnel({ ...surroundings, tunnel, link, place });
    void running.ended.then(async () => {
      leave();
      if (shared.users === 0) await place.embedded?.stop(0);
    });
    return running;
  }

  #sharedAt(key: string, link: RelayLink, listen: ListenAddress | undefined): SharedPlace {
    const { platform, onEvent } = this.#given;
    const there = this.#shared.get(key);
    if (there !== undefined) return there;
    const shared = { place: openRelayPlace({ link, listen, platform, onEvent }), users: 0 };
    this.#shared.set(key, shared);
    return shared;
  }
}
