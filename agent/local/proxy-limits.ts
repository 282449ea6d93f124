/** Bounds of what the local sockets of `agent proxy` may take, in time, number and bytes. */
export const proxyLimits = {
  /** Sockets of programs on this machine; a browser opens some hundreds. */
  maxSockets: 4_096,
  /** From the opening of a socket to the end of its SOCKS request, and from the first byte of an HTTP head to its end. */
  handshakeMs: 10_000,
  /** An HTTP socket between two requests; browsers give up at about 60 s. */
  idleMs: 75_000,
  /** Deadlines are looked at this often, while there are sockets. */
  sweepMs: 1_000,
  /** What a program may send ahead of the reply to its SOCKS request or CONNECT, and of pipelined HTTP requests. */
  maxEarlyBytes: 65_536,
  /** What waits for the far side before the local socket is paused, and when it is read again. */
  farHighBytes: 131_072,
  farLowBytes: 65_536,
  /** After a refusal: how long, and how much, is still read and dropped, so that the program gets to read it. */
  lingerMs: 5_000,
  maxLingerBytes: 16_777_216,
  /**
   * After a complete answer and FIN. Megabytes of it may wait in the system's buffers for a player that reads at its own
   * pace, and a reset would lose them.
   */
  finishMs: 3_600_000,
  /** After the answer the origin has this long to close its side, before the stream is broken off. */
  partingMs: 5_000,
  /** No 1xx head is added to more than this: they are hints, and the program does not read. */
  maxQueuedInterimBytes: 65_536,
  /** Flows of datagrams of one UDP ASSOCIATE: a resolver that asks many asks each once. The least used makes room. */
  maxFlows: 256,
  /** A flow over which nothing went is over (PROTOCOL.md section 7). */
  flowIdleMs: 60_000,
  /** Datagrams to a destination that was refused are dropped so long, before it is asked for again. */
  flowRefusedMs: 1_000,
  /** Of IPv4; headers included. */
  maxDatagramBytes: 65_507,
} as const;
