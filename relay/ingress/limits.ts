/** Bounds of what a visitor's socket may take in time and bytes. */
export const ingressLimits = {
  /** From the first byte of a head, or the opening of the socket, to the head's end. */
  headWithinMs: 30_000,
  /** An idle keep-alive socket; browsers and proxies give up at about 60 s. */
  idleMs: 75_000,
  /** Visitors' deadlines are looked at this often. */
  sweepMs: 5_000,
  maxVisitors: 60_000,
  /** Pipelined bytes that may wait behind a request that is being answered. */
  maxHeldBytes: 65_536,
  /** After a last answer: how long, and how much, is still read and dropped of a visitor who goes on sending. */
  lingerMs: 5_000,
  maxLingerBytes: 16_777_216,
  retryAfterSeconds: 5,
} as const;
