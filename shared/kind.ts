/** What a tunnel carries; the same words in tokens, in HELLO and in the switches. */
export type Kind = (typeof kinds)[number];
export const kinds = ["http", "tcp", "tls", "udp", "private"] as const;

/** The kind's number in OPEN (PROTOCOL.md section 7). */
export const streamKinds = { http: 1 } as const;
