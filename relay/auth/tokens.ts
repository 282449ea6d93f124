import { errors, jwtVerify, SignJWT } from "jose";
import { parsePattern } from "../../shared/egress/pattern.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { type Claims, claimsFromPayload, type Kind, ownerOf } from "./claims.ts";
import type { Revocations } from "./revocations.ts";
import { minSecretBytes } from "./secret.ts";

/** What a new token shall grant; absent lists mean what they mean in `Claims`. */
export interface Grant {
  readonly subject: string;
  readonly names?: readonly string[];
  readonly kinds?: readonly Kind[];
  readonly connect?: readonly string[];
  readonly egress?: readonly string[];
  readonly admin?: boolean;
  readonly ttlMs: number;
}

const issuer = "underpass";
const audience = "underpass";
/** Looked at before anything is parsed: who dials is not known yet. */
const maxTokenChars = 8_192;
/** Clocks of relay and minting machine may differ by this. */
const leewaySeconds = 5;
/** Tokens that are remembered: a pool, a redial and a renewal show the same one again. */
const maxRemembered = 1_024;
/** Longer ones are checked each time: all that are remembered take 1 MiB or two. */
const maxRememberedChars = 1_024;
/** Three base64url parts (RFC 7515 section 7.1). Linear: the parts have no character in common with the dots. */
const compactForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;

/** Whether a token with these claims is worth nothing any more. */
export function isRevoked({ issuedAtMs }: Claims, untilMs: number | undefined): boolean {
  return untilMs !== undefined && issuedAtMs <= untilMs;
}

/** What came of checking a token. */
interface Checked {
  readonly claims: Claims;
  readonly dateMs: number;
}

/** Makes and checks the tokens of one secret: JWT, HS256 and nothing else. */
export class Tokens {
  readonly #secret: Uint8Array<ArrayBuffer>;
  readonly #revocations: Pick<Revocations, "revokedUntil"> | undefined;
  #key: Promise<CryptoKey> | undefined;
  /** Tokens that were good, the longest known first: a dial with one takes a sixth less of the relay's time (measured). */
  readonly #checked = new Map<string, Checked>();

  /** Throws `secret-invalid` when `secret` is shorter than 32 bytes. */
  constructor(secret: Uint8Array, revocations?: Pick<Revocations, "revokedUntil">) {
    if (secret.length < minSecretBytes) throw new UnderpassError("secret-invalid");
    this.#revocations = revocations;
    this.#secret = new Uint8Array(secret);
  }

  /** `dateMs` since 1970. Rejects with `unauthorized`, saying which check failed and nothing of the token. */
  async verify(jwt: string, dateMs: number): Promise<Claims> {
    if (jwt.length > maxTokenChars) throw refusal(`is longer than ${maxTokenChars} characters`);
    const claims = this.#remembered(jwt, dateMs) ?? (await this.#check(jwt, dateMs));
    if (isRevoked(claims, await this.#revocations?.revokedUntil(ownerOf(claims))))
      throw refusal("was revoked");
    return claims;
  }

  /** Its signature holds for ever; near its end, and by a clock that was set back, it is checked anew. */
  #remembered(jwt: string, dateMs: number): Claims | undefined {
    const known = this.#checked.get(jwt);
    if (known === undefined || dateMs < known.dateMs || dateMs >= known.claims.expiresAtMs) return undefined;
    return known.claims;
  }

  async #check(jwt: string, dateMs: number): Promise<Claims> {
    if (!compactForm.test(jwt)) throw refusal("is malformed: it is not a JWT");
    const key = await this.#hmacKey();
    let payload: unknown;
    try {
      const verified = await jwtVerify(jwt, key, {
        algorithms: ["HS256"],
        issuer,
        audience,
        requiredClaims: ["sub", "iat", "exp"],
        clockTolerance: leewaySeconds,
        currentDate: new Date(dateMs),
      });
      payload = verified.payload;
    } catch (error) {
      // Not kept as `cause`: jose's errors carry the payload, and causes are logged.
      throw refusal(reasonOf(error));
    }
    const claims = claimsFromPayload(payload);
    if (jwt.length <= maxRememberedChars) this.#checked.set(jwt, { claims, dateMs });
    for (const oldest of this.#checked.keys()) {
      if (this.#checked.size <= maxRemembered) break;
      this.#checked.delete(oldest);
    }
    return claims;
  }

  /** One signed JWT. Rejects with `usage` when what it should grant would not be accepted by `verify`. */
  async mint(grant: Grant, dateMs: number): Promise<string> {
    // Says what is wrong with one; the check of the claims may not.
    for (const text of grant.egress ?? []) parsePattern(text);
    const issuedAt = Math.floor(dateMs / 1000);
    const payload = {
      iss: issuer,
      aud: audience,
      sub: grant.subject,
      iat: issuedAt,
      exp: issuedAt + Math.ceil(grant.ttlMs / 1000),
      ...(grant.names && { names: [...grant.names] }),
      ...(grant.kinds && { kinds: [...grant.kinds] }),
      ...(grant.connect && { connect: [...grant.connect] }),
      ...(grant.egress && { egress: [...grant.egress] }),
      ...(grant.admin !== undefined && { admin: grant.admin }),
    };
    try {
      claimsFromPayload(payload);
    } catch (error) {
      if (!(error instanceof UnderpassError)) throw error;
      throw new UnderpassError("usage", error.message, { cause: error });
    }
    const key = await this.#hmacKey();
    const jwt = await new SignJWT(payload).setProtectedHeader({ alg: "HS256", typ: "JWT" }).sign(key);
    if (jwt.length > maxTokenChars)
      throw new UnderpassError("usage", "The token grants too much: it is over 8 KiB.");
    return jwt;
  }

  /** Imported once: it costs more than a check. */
  #hmacKey(): Promise<CryptoKey> {
    this.#key ??= crypto.subtle.importKey("raw", this.#secret, { name: "HMAC", hash: "SHA-256" }, false, [
      "sign",
      "verify",
    ]);
    return this.#key;
  }
}

function refusal(reason: string): UnderpassError {
  return new UnderpassError("unauthorized", `The token ${reason}.`);
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "has expired";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "was signed with another key";
  if (error instanceof errors.JOSEAlgNotAllowed) return "is not signed with HS256";
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "nbf" && error.reason === "check_failed") return "is not yet valid";
    if (error.claim === "iss") return "was issued for something else ('iss' is not underpass)";
    if (error.claim === "aud") return "was issued for something else ('aud' is not underpass)";
    return `has a claim '${error.claim}' that is missing or not of the right form`;
  }
  return "is malformed";
}
