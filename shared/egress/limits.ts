import { limits } from "../mux/limits.ts";

export const egressLimits = {
  /** For a place, the look-up and all dials of one target together. */
  openTimeoutMs: 10_000,
  /** Of a name with more, the first that are permitted are tried. */
  maxAddresses: 8,
  /** Targets that are looked up or dialled at once; more wait for a place. Each may hold a descriptor. */
  maxDials: 512,
  /** Of one subject: targets that never answer must not take the places of all others. */
  maxDialsOfOne: 256,
  /** Names that are looked up at once: as many as the system takes (shared/resolve.ts). */
  maxLookUps: 256,
  /**
   * Of one subject. A name server that never answers keeps a look-up in the system for several times as long as we wait,
   * and so must not get at more than a part of them.
   */
  maxLookUpsOfOne: 32,
  /** Flows of datagrams at once, each with a socket of its own. */
  maxFlows: 1_024,
  /** Of one subject. */
  maxFlowsOfOne: 256,
  /** A flow over which nothing went for so long is over (PROTOCOL.md section 7). */
  flowIdleMs: 60_000,
  /** Of a flow whose socket is not open yet; the oldest are dropped. A datagram of the largest size fits. */
  maxEarlyBytes: 65_536,
  maxEarlyDatagrams: 64,
  /** The same of one that waits for a place, of which there is no end: what its stream has reserved. */
  maxWaitingBytes: limits.datagramStreamBytes,
} as const;
