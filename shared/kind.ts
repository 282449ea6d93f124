/** What a tunnel carries; the same words in tokens, in HELLO and in the switches. */
export type Kind = (typeof kinds)[number];
export const kinds = ["http", "tcp", "tls", "udp", "private"] as const;
