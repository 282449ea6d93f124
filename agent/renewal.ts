import type { Clock } from "../shared/clock.ts";
import type { Slot } from "../shared/dial/slot.ts";

const limits = {
  /** A pool's worst link is renewed every so often, on the average. */
  everyMs: 300_000,
  /** One that is hardly worse than the best is left alone. */
  worseBy: 1.25,
  /** A pool that carried fewer messages since the last look has little use for it, and its relay may be asleep. */
  busyMessages: 64,
} as const;

/**
 * Renews the link of the slot with the worst round trip of late from time to time, make-before-break: paths through
 * the network change, and a link keeps the one that it was born with. A pool that was idle is left alone, as it costs
 * something to wake it. Returns what stops it.
 */
export function renewWorst(slots: readonly Slot[], clock: Clock, random: () => number): () => void {
  const seen = new Map<Slot, number>();
  let cancel = (): void => {};
  const wait = (): void => {
    cancel = clock.at(clock.now() + limits.everyMs * (0.5 + random()), () => {
      worstOf(slots, seen)?.session?.renew();
      wait();
    });
  };
  wait();
  return () => cancel();
}

/** The slot to renew. `seen`: how many messages each had carried when it was last looked at. */
function worstOf(slots: readonly Slot[], seen: Map<Slot, number>): Slot | undefined {
  let worst: Slot | undefined;
  let bestMs = Number.POSITIVE_INFINITY;
  let worstMs = 0;
  let messages = 0;
  for (const slot of slots) {
    const ledger = slot.session?.driver.session.ledger;
    if (ledger === undefined) continue;
    const carried = ledger.received + ledger.acknowledgedCount;
    // A session that is new begins at 0.
    messages += Math.max(0, carried - (seen.get(slot) ?? 0));
    seen.set(slot, carried);
    const { worstTripMs } = ledger.flight;
    bestMs = Math.min(bestMs, worstTripMs);
    if (worstTripMs <= worstMs) continue;
    worstMs = worstTripMs;
    worst = slot;
  }
  const isWorth = messages >= limits.busyMessages && worstMs > bestMs * limits.worseBy;
  return isWorth ? worst : undefined;
}
