import type { Bus } from "../../shared/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { RelayDialer } from "../../shared/dial/dial.ts";
import type { GiveUp } from "../../shared/dial/place.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { dialBusLink } from "../../shared/links/bus-dial.ts";
import type { Dial } from "../../shared/socket.ts";
import type { DialNeighbour } from "./neighbours.ts";

export interface NeighbourDialOptions {
  /** This process. */
  readonly id: string;
  readonly clock: Clock;
  readonly dial: Dial;
  readonly bus: Bus;
  /** Its name. */
  readonly cluster: string;
}

/** Where a neighbour does not answer within it, the bus has its turn. */
const directMs = 2_000;

/** Dials a neighbour at what it advertises; over the bus where it advertises nothing, or is not found there. */
export function neighbourDial({ id, clock, dial, bus, cluster }: NeighbourDialOptions): DialNeighbour {
  return (node, place, token, done) => {
    const { session } = place;
    const overBus = (): GiveUp =>
      dialBusLink(
        { bus, clock, cluster },
        node.id,
        { from: id, token, ...(session !== undefined && { session }) },
        done,
      );
    if (node.url === undefined) return overBus();
    // Whoever gives a relay an address of plain http to advertise has said so.
    const direct = new RelayDialer({
      ...{ relay: new URL(node.url), dial, clock },
      insecure: true,
      timeoutMs: directMs,
    });
    let giveUp: GiveUp = direct.openLink(place, token, (result) => {
      if (result instanceof UnderpassError && result.code === "relay-unreachable") giveUp = overBus();
      else done(result);
    });
    return (why) => giveUp(why);
  };
}
