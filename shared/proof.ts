import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { base64url } from "./base64url.ts";

/** What a resuming HELLO proves: that its sender knows the session's secret, and means this attempt (PROTOCOL.md section 3.1). */
export interface Claim {
  readonly session: string;
  readonly attempt: number;
  /** How many counted messages its sender has received. */
  readonly received: number;
}

/** The proof of `claim` under `secret`, the base64url text of WELCOME. */
export function prove(secret: string, { session, attempt, received }: Claim): string {
  const text = `underpass.1 resume ${session} ${attempt} ${received}`;
  return base64url(hmac(sha256, bytesOf(secret), new TextEncoder().encode(text)));
}

/** Whether `proof` is that of `claim`. Takes as long for every proof that is wrong. */
export function isProof(proof: string, secret: string, claim: Claim): boolean {
  const right = prove(secret, claim);
  let difference = proof.length ^ right.length;
  for (let i = 0; i < right.length; i++) difference |= right.charCodeAt(i) ^ proof.charCodeAt(i);
  return difference === 0;
}

function bytesOf(secret: string): Uint8Array {
  const binary = atob(secret.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}
