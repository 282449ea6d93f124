import { expect, test } from "bun:test";
import { Flight } from "../../shared/mux/flight.ts";
import { Memory } from "../../shared/mux/memory.ts";

/** `bytes` leave at `sentMs` and are acknowledged `tripMs` later. */
function carry(flight: Flight, bytes: number, sentMs: number, { tripMs } = { tripMs: 150 }): void {
  flight.sent(bytes);
  const { mark } = flight;
  flight.acknowledged(bytes);
  flight.measured(mark, sentMs, sentMs + tripMs, false);
}

test("the best rate is known for 10 minutes at least, whatever links there were since", () => {
  const flight = new Flight(150, new Memory(2 ** 26));
  carry(flight, 1_500_000, 0);
  expect([flight.linkRate, flight.bestRate]).toEqual([10_000, 10_000]);
  flight.moved(150);
  carry(flight, 150_000, 500_000);
  expect([flight.linkRate, flight.bestRate]).toEqual([1_000, 10_000]);
  for (const sentMs of [700_000, 1_400_000]) carry(flight, 150_000, sentMs);
  expect(flight.bestRate).toBe(1_000);
});

test("a crowd is what waited for more than a round trip, without a pause of one", () => {
  const flight = new Flight(150, new Memory(2 ** 26));
  carry(flight, 1_000, 0);
  expect(flight.crowd).toBeUndefined();
  for (const sentMs of [1_000, 1_200, 1_600]) carry(flight, 10_000, sentMs, { tripMs: 400 });
  expect(flight.crowd).toEqual({ sinceMs: 1_000, untilMs: 2_000, bytes: 30_000 });
  carry(flight, 10_000, 2_151, { tripMs: 400 });
  expect(flight.crowd).toEqual({ sinceMs: 2_151, untilMs: 2_551, bytes: 10_000 });
  carry(flight, 10_000, 2_600, { tripMs: 320 });
  expect(flight.crowd).toBeUndefined();
  carry(flight, 10_000, 3_000, { tripMs: 400 });
  flight.moved(150);
  expect(flight.crowd).toBeUndefined();
});

test("on a short road there is none: processors make trips uneven there", () => {
  const flight = new Flight(1, new Memory(2 ** 26));
  for (const tripMs of [1, 100, 100]) carry(flight, 1_000, 0, { tripMs });
  expect(flight.crowd).toBeUndefined();
});

test("a road is no longer than its handshake was, where each ACK has waited for company", () => {
  const near = new Flight(1, new Memory(2 ** 26));
  const far = new Flight(150, new Memory(2 ** 26));
  for (let sentMs = 0; sentMs < 1_000; sentMs += 30) {
    carry(near, 200, sentMs, { tripMs: 26 });
    carry(far, 200, sentMs, { tripMs: 175 });
  }
  expect([near.isLong, far.isLong]).toEqual([false, true]);
  expect(near.creditTripMs).toBeLessThan(2);
  expect(far.creditTripMs).toBe(150);
  near.moved(26);
  expect(near.isLong).toBe(true);
});
