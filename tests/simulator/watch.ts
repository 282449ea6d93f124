import type { Hello } from "../../shared/handshake.ts";
import type { Machine } from "./machine.ts";
import type { Wire } from "./wire.ts";
import type { WireWatcher } from "./wire-end.ts";
import { type Dialler, type SessionWatch, WireWatch } from "./wire-watch.ts";
import type { World } from "./world.ts";

/** A HELLO that was sent, for those who would send it again. */
export interface KeptHello {
  readonly hello: Hello;
  readonly sentMs: number;
}

/**
 * Looks at all that goes over all links, as somebody who knows PROTOCOL.md and nothing of the sessions: numbers go on
 * over links, what is sent again is the same, nobody acknowledges what has not come, and attempts rise.
 */
export class Watch {
  readonly hellos: KeptHello[] = [];
  /** An agent has learnt that a session of its is gone, which had these exchanges. */
  onFresh: ((exchanges: number[]) => void) | undefined;
  readonly #sessions = new Map<string, SessionWatch>();
  /** By the number of the exchange that an OPEN names: the latest. */
  readonly #exchanges = new Map<number, SessionWatch>();
  /** The highest attempt that a relay has heard, by instance and slot. */
  readonly #attempts = new Map<string, number>();

  constructor(private readonly world: World) {}

  /** One for each link. */
  wire(wire: Wire, dialler: Dialler): WireWatcher {
    const { world } = this;
    const seen = new WireWatch({
      world,
      wire,
      dialler,
      sessions: this.#sessions,
      exchanges: this.#exchanges,
      fresh: (gone) => {
        const left = [...this.#exchanges].filter(([, session]) => session === gone).map(([id]) => id);
        if (left.length > 0) this.onFresh?.(left);
      },
    });
    return {
      sent: (from, bytes) => {
        const hello = seen.sent(from, bytes);
        if (hello !== undefined && dialler === "agent") this.hellos.push({ hello, sentMs: world.nowMs });
      },
      arrived: (to, bytes) => {
        const hello = seen.arrived(to, bytes);
        if (hello === undefined || dialler !== "agent") return;
        this.#attempts.set(placeOf(hello), Math.max(hello.attempt, this.#attempts.get(placeOf(hello)) ?? 0));
      },
    };
  }

  /** A relay's process has ended: those of its sessions that were at rest are another's now. */
  rehome(from: Machine, to: Machine, resting: ReadonlySet<string>): void {
    for (const [id, session] of this.#sessions)
      if (session.relay === from && resting.has(id)) session.relay = to;
  }

  /** The session that has the exchange; undefined: its OPEN was never sent. */
  sessionOf(exchange: number): SessionWatch | undefined {
    return this.#exchanges.get(exchange);
  }

  /** Whether a relay has heard this HELLO, or a later one of its place: then this one is stale. */
  isStale(hello: Hello): boolean {
    return hello.attempt <= (this.#attempts.get(placeOf(hello)) ?? 0);
  }
}

/** The place in a pool that a HELLO is for. */
function placeOf({ instance, slot }: Hello): string {
  return `${instance} ${slot}`;
}
