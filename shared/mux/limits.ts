/** The numbers of the protocol core, each with its unit in the name and its reason. PROTOCOL.md states those on the wire. */
export const limits = {
  /** Below 16 KiB the cost per message rules, above 64 KiB gains little and is unfair. */
  maxMessageBytes: 65_536,
  /** Messages that a slow link carries within this show both sides often enough that it lives. */
  messageMs: 500,
  slowMessageBytes: 4_096,
  /** While nothing is known of the link. */
  firstMessageBytes: 16_384,
  maxDatagramBytes: 65_507,
  /** Streams of kind tcp. */
  bytesKind: 2,
  /** Streams of kind udp (PROTOCOL.md section 7): whoever forges senders opens many, and they hold no DATA. */
  datagramKind: 3,
  datagramStreamBytes: 4_096,
  /** HELLO and WELCOME: nothing before them is trusted. */
  maxHandshakeBytes: 16_384,
  /** What a frame costs beside its bytes, so that empty ones are not free. */
  frameCost: 64,
  /** A stream's turn while others wait; of a bulk one on a quick link, what that carries in so short a time. */
  turnBytes: 16_384,
  turnMs: 0.25,
  maxHttpHeadBytes: 32_768,
  /** All head fields of a frame: they must fit the room that is there when nothing is held. */
  maxHeadFieldsBytes: 40_960,
  /** A DNS name of 253 characters, and a port. */
  maxTargetBytes: 300,
  maxReasonBytes: 1_024,
  /** What a stream may hold before its writer is told to wait. */
  streamQueueHighBytes: 98_304,
  streamQueueLowBytes: 49_152,
  /** The same where memory is scarce: enough to go on, little enough that all streams may have it. */
  scarceQueueHighBytes: 8_192,
  scarceQueueLowBytes: 4_096,
  /** A larger head opens no stream then. */
  scarceHeadBytes: 4_096,
  /** And no session sends another message while so much is unacknowledged. */
  scarceFlightBytes: 16_384,
  /** A datagram of any size has its turn. */
  scarceDatagramBytes: 66_000,
  /** Smaller pieces that wait are gathered: each by itself costs some hundred bytes. */
  gatherBelowBytes: 1_024,
  /** Small, so that many streams fit under the memory cap; it doubles while a reader is quick. */
  initialWindowBytes: 65_536,
  /** The largest head must fit beside a quarter of the window that may be withheld. */
  minWindowBytes: 65_536,
  maxWindowBytes: 16_777_216,
  /** From here on windows grow in smaller steps. */
  largeWindowBytes: 1_048_576,
  maxStreams: 4_096,
  /** Ids used up: what is open gets this long. */
  usedUpGraceMs: 30_000,
  /** Resets that wait for the link; more means that the peer opens without reading. */
  maxPendingResets: 8_192,
  maxPendingDatagramBytes: 1_048_576,
  /** Who asked with one has asked again by then. */
  maxDatagramAgeMs: 1_000,
  /** Buffers of acknowledged messages that are kept for the next ones while bulk flows. */
  maxSpares: 8,
  /** A timer of a few milliseconds beside one request after the other cost each of them 30 us or more (measured). */
  ackDelayMs: 25,
  ackEveryBytes: 65_536,
  minFlightBytes: 262_144,
  maxFlightBytes: 16_777_216,
  /** A road this long may lose packets, and what is lost takes a round trip more. */
  longTripMs: 5,
  /** Resets of streams that the peer itself opened. */
  resetBurst: 20_000,
  resetsPerSecond: 2_000,
} as const;
