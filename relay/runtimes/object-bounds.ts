import { holdLimits } from "../../shared/hold.ts";
import { Memory } from "../../shared/mux/memory.ts";

const mebibyte = 1_048_576;

/**
 * What an object may hold of its 128 MB, whatever visitors and agents do. What each may have for himself is small
 * enough that all of them together fit: 640 streams and 256 links; the rest is for whoever comes first.
 *
 *     first windows, 640 of 64 KiB                     40 MiB   what agents send on credit
 *     growth                                            8 MiB
 *     beside: what waits for agents, and messages      24 MiB   shared; above it everybody has his share only:
 *     shares: 640 streams of 24 KiB, 256 links of 32   24 MiB   at twice `besideBytes` nobody new is let in
 *     answers that came whole (ingress/lingering.ts)    8 MiB
 *
 * 104 MiB, and up to 16 MiB of requests and POSTs that wait, which go on where the shared part is full; code, and what
 * visitors cost beside bytes (7 KiB each, measured), have the rest.
 */
export const objectBounds = {
  memory: {
    capBytes: 48 * mebibyte,
    growthBytes: 8 * mebibyte,
    /** One slow visitor makes the object hold no more than this, and what is in flight. */
    maxWindowBytes: 2 * mebibyte,
    maxFlightBytes: 2 * mebibyte,
    maxDatagramBytes: 262_144,
    besideBytes: 24 * mebibyte,
  },
  hold: {
    ...holdLimits,
    maxPerTunnel: 512,
    maxHeldBytes: 4 * mebibyte,
    maxUnderWayBytes: 4 * mebibyte,
  },
  posts: { maxLinks: 64, maxHeldBytes: 4 * mebibyte, dropsAboveBytes: 6 * mebibyte },
  maxLinks: 256,
} as const;

/** The memory of an object. */
export function objectMemory(): Memory {
  const { capBytes, ...bounds } = objectBounds.memory;
  return new Memory(capBytes, bounds);
}
