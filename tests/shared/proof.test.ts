import { expect, test } from "bun:test";
import { createHmac, randomBytes } from "node:crypto";
import fc from "fast-check";
import { base64url } from "../../shared/base64url.ts";
import { type Claim, isProof, prove } from "../../shared/proof.ts";

const secret = fc.uint8Array({ minLength: 32, maxLength: 32 });
const claim: fc.Arbitrary<Claim> = fc.record({
  session: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
  attempt: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  received: fc.nat(Number.MAX_SAFE_INTEGER),
});

/** The page's words, with another library. */
function proofOf(key: Uint8Array, { session, attempt, received }: Claim): string {
  return createHmac("sha256", key)
    .update(`underpass.1 resume ${session} ${attempt} ${received}`, "ascii")
    .digest("base64url");
}

test("base64url is that of the platform, without padding", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      expect(base64url(bytes)).toBe(Buffer.from(bytes).toString("base64url"));
    }),
  );
});

test("the proof is HMAC-SHA256 under the secret's bytes over the page's text, in 43 characters", () => {
  fc.assert(
    fc.property(secret, claim, (key, one) => {
      const proof = prove(Buffer.from(key).toString("base64url"), one);
      expect(proof).toBe(proofOf(key, one));
      expect(proof).toMatch(/^[A-Za-z0-9_-]{43}$/);
    }),
  );
});

test("a proof is one for its secret and claim, and for no other", () => {
  fc.assert(
    fc.property(secret, claim, fc.nat(31), (key, one, at) => {
      const text = Buffer.from(key).toString("base64url");
      const proof = proofOf(key, one);
      expect(isProof(proof, text, one)).toBe(true);
      const other = Buffer.from(key);
      other[at] = (other[at] ?? 0) ^ 1;
      const less = (count: number): number => (count > 1 ? count - 1 : count + 1);
      expect([
        isProof(proof, other.toString("base64url"), one),
        isProof(proof, text, { ...one, session: `${one.session}x` }),
        isProof(proof, text, { ...one, attempt: less(one.attempt) }),
        isProof(proof, text, { ...one, received: less(one.received) }),
      ]).toEqual([false, false, false, false]);
    }),
  );
});

test("a proof with any character changed, cut off or added is none", () => {
  const key = randomBytes(32);
  const text = key.toString("base64url");
  const one: Claim = { session: "abc", attempt: 2, received: 0 };
  const proof = proofOf(key, one);
  for (let at = 0; at < proof.length; at++) {
    const other = proof[at] === "A" ? "B" : "A";
    expect(isProof(proof.slice(0, at) + other + proof.slice(at + 1), text, one)).toBe(false);
    expect(isProof(proof.slice(0, at), text, one)).toBe(false);
  }
  // Of characters whose code is not below 256, the low bits count no more than the others.
  const high = String.fromCharCode(proof.charCodeAt(0) + 256) + proof.slice(1);
  for (const wrong of ["", `${proof}A`, `A${proof}`, `${proof}=`, high]) {
    expect(isProof(wrong, text, one)).toBe(false);
  }
});
