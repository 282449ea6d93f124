/** Bounds of what is read of a TLS handshake before its tunnel is known. */
export const helloLimits = {
  /**
   * All of the ClientHello with its records' heads. One with keys that resist quantum computers takes 2 KiB, a session
   * ticket that holds a chain of certificates some KiB more.
   */
  maxBytes: 16_384,
  /** Of one ClientHello. Two are seen where it is larger than a packet; more only where somebody dodges a filter. */
  maxRecords: 8,
  /** RFC 8446 section 5.1: of one record, without its head. */
  maxRecordBytes: 16_384,
} as const;
