/** Numbers of a link over server-sent events and POSTs (PROTOCOL.md section 1.1). */
export const eventStreamLimits = {
  /** PROTOCOL.md section 2. */
  maxMessageBytes: 65_536,
  /** Liveness texts are far shorter. */
  maxTextBytes: 1_024,
  /** A code and what RFC 6455 allows as a reason. */
  maxCloseBytes: 125,
  /** A message in base64 with its field name, and some air. */
  maxEventBytes: 90_000,
  /** Under the 1 MiB that proxies let through without being asked. */
  maxPostBytes: 524_288,
  /** POSTs on their way at once. */
  maxPosts: 4,
  /** The same POST, whole each time, before its turn has come. */
  maxRepeats: 16,
  /** Proxies give up an answer that is silent for 60 s, some for 30 s. */
  commentMs: 15_000,
  /** Two comments are missing. */
  readTimeoutMs: 30_000,
  /** So long a POST waits for one with a lower number. */
  turnTimeoutMs: 30_000,
  /** A peer that neither answers a close nor reads what is queued is dropped after this. */
  closeTimeoutMs: 2_000,
} as const;
