import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { Tokens } from "../auth/tokens.ts";

const purpose = new TextEncoder().encode("underpass.1 cluster");
/** Looked at when a link is dialled, which is made for it; a session goes on without. */
const ttlMs = 300_000;

/** Who a relay is to its neighbours: the `sub` of its tokens. */
export function relaySubject(id: string): string {
  return `relay ${id}`;
}

export function isRelaySubject(subject: string): boolean {
  return /^relay [a-z0-9]{8}$/.test(subject);
}

/** Tokens by which relays know each other: of a key that all with the same secret have, and that no agent's token is signed with. */
export function clusterTokens(secret: Uint8Array): Tokens {
  return new Tokens(hmac(sha256, secret, purpose));
}

/** The token that a relay dials its neighbours with. */
export function relayToken(tokens: Tokens, id: string, dateMs: number): Promise<string> {
  return tokens.mint({ subject: relaySubject(id), ttlMs }, dateMs);
}
