/** The numbers of the agent's side of an HTTP exchange. */
export const originLimits = {
  /** Default for opening a socket to the origin; a switch changes it. */
  dialTimeoutMs: 10_000,
  /** Default for silence before the final head, counted from the last progress of the request; a switch changes it. */
  headTimeoutMs: 60_000,
  /**
   * An idle socket older than this is not used again. Origins close idle sockets after 2 s and more; a request that
   * meets such a close is lost, since it is never sent twice.
   */
  idleMs: 1_500,
  maxIdleSockets: 512,
  /** After our FIN the origin has this long to close its side. */
  partingMs: 1_000,
  /** Smaller pieces of a request are joined into one write. */
  joinBytes: 65_536,
  /** How long a new socket may be passed over while an idle one stands open (see Crowd), by what is known of the origin. */
  patienceUnknownMs: 10,
  patienceConcurrentMs: 250,
  /** Then it is found out anew whether the origin serves one socket at a time. */
  serialBeliefMs: 1_000,
} as const;

/** What the agent's switches can change. */
export interface OriginTimeouts {
  readonly dialTimeoutMs: number;
  readonly headTimeoutMs: number;
}
