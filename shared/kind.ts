/** What a tunnel carries; the same words in tokens, in HELLO and in the switches. */
export type Kind = (typeof kinds)[number];
export const kinds = ["http", "tcp", "tls", "udp", "private"] as const;

/** What a session is for (PROTOCOL.md section 1): to serve a tunnel, or to call out of this agent, or out of another relay. */
export type SessionKind = (typeof sessionKinds)[number];
export const callKinds = ["connect", "via", "egress"] as const;
export const sessionKinds = [...kinds, ...callKinds, "relay"] as const;
export type CallKind = (typeof callKinds)[number];

/** The kind's number in OPEN (PROTOCOL.md section 7). */
export const streamKinds = { http: 1, tcp: 2, udp: 3 } as const;

/** What streams a tunnel's visitors need. */
export const streamKindOf: Readonly<Record<Kind, number>> = {
  http: streamKinds.http,
  tcp: streamKinds.tcp,
  tls: streamKinds.tcp,
  udp: streamKinds.udp,
  private: streamKinds.tcp,
};

export function isKind(text: string): text is Kind {
  return (kinds as readonly string[]).includes(text);
}

export function isSessionKind(text: string): text is SessionKind {
  return (sessionKinds as readonly string[]).includes(text);
}

/** The feature of HELLO by which an agent says that it serves streams with a `target`. */
export const egressFeature = "egress";
