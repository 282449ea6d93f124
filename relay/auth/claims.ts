import * as v from "valibot";
import { isPattern } from "../../shared/egress/pattern.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { globMatches } from "../../shared/glob.ts";
import { type Kind, kinds } from "../../shared/kind.ts";
import { isName } from "../../shared/name.ts";

export type { Kind };

/** What a token grants, checked. Only `claimsFromPayload` and `claimsSchema` make one, so whoever holds it need not look again. */
export interface Claims {
  readonly issuer: string;
  readonly subject: string;
  /** Globs over names; absent: any name. Empty: none. */
  readonly names?: readonly string[];
  readonly kinds: readonly Kind[];
  /** Names of private tunnels that may be reached. */
  readonly connect: readonly string[];
  /** `HOST-GLOB:PORTS` or `CIDR:PORTS`, each a destination that may be reached through the relay. */
  readonly egress: readonly string[];
  /** Milliseconds since 1970, in whole seconds. */
  readonly issuedAtMs: number;
  /** Milliseconds since 1970. The session gets GOAWAY `token-expired` then. */
  readonly expiresAtMs: number;
  /** May read /metrics from anywhere. */
  readonly admin?: boolean;
}

/** Lists are bounded because each stream is checked against them. */
const maxEntries = 256;
const maxSubjectChars = 256;
/** The end of the year 9999, in seconds: beyond it a date can't be printed. */
const maxExpirySeconds = 253_402_300_799;

/** A subject as tokens have it, wherever it is named: without the blanks around it. */
export const subjectText = v.pipe(
  v.string(),
  v.trim(),
  v.minLength(1, "is empty"),
  v.maxLength(maxSubjectChars, "is too long"),
  v.regex(/^[^\p{Cc}\p{Cs}]*$/u, "has control characters"),
);

const list = <const S extends v.GenericSchema>(entry: S) =>
  v.pipe(v.array(entry), v.maxLength(maxEntries, `has more than ${maxEntries} entries`));

const lists = {
  names: list(
    v.pipe(v.string(), v.regex(/^[a-z0-9*?-]{1,63}$/, "is not a glob over a-z, 0-9, '-', '*', '?'")),
  ),
  kinds: list(v.picklist(kinds)),
  connect: list(v.pipe(v.string(), v.check(isName, "is not a name"))),
  egress: list(v.pipe(v.string(), v.check(isPattern, "is not a pattern of egress"))),
};

const payloadSchema = v.object({
  iss: subjectText,
  sub: subjectText,
  iat: v.pipe(v.number(), v.finite()),
  exp: v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(maxExpirySeconds)),
  names: v.optional(lists.names),
  kinds: v.optional(lists.kinds),
  connect: v.optional(lists.connect),
  egress: v.optional(lists.egress),
  admin: v.optional(v.boolean()),
});

/** Claims that another relay has checked, as it tells them: of the same bounds as those of a token. */
export const claimsSchema: v.GenericSchema<unknown, Claims> = v.object({
  issuer: subjectText,
  subject: subjectText,
  names: v.exactOptional(lists.names),
  kinds: lists.kinds,
  connect: lists.connect,
  egress: lists.egress,
  issuedAtMs: v.pipe(v.number(), v.finite()),
  expiresAtMs: v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(maxExpirySeconds * 1000)),
  admin: v.exactOptional(v.boolean()),
});

/**
 * Checks a JWT's payload, whose signature and times were verified before. Throws UnderpassError `unauthorized` that
 * names the claim at fault, never its value.
 */
export function claimsFromPayload(payload: unknown): Claims {
  const checked = v.safeParse(payloadSchema, payload, { abortEarly: true });
  if (!checked.success) {
    const [issue] = checked.issues;
    const claim = v.getDotPath(issue)?.split(".")[0] ?? "payload";
    throw new UnderpassError(
      "unauthorized",
      `The token's claim '${claim}' is missing or not of the right form.`,
    );
  }
  const { iss, sub, iat, exp, names, admin } = checked.output;
  return {
    issuer: iss,
    subject: sub,
    ...(names === undefined ? {} : { names }),
    kinds: checked.output.kinds ?? kinds,
    connect: checked.output.connect ?? [],
    egress: checked.output.egress ?? [],
    issuedAtMs: iat * 1000,
    expiresAtMs: exp * 1000,
    ...(admin === undefined ? {} : { admin }),
  };
}

export function allowsName(claims: Claims, name: string): boolean {
  if (!isName(name)) return false;
  return claims.names === undefined || claims.names.some((glob) => globMatches(glob, name));
}

export function allowsKind(claims: Claims, kind: Kind): boolean {
  return claims.kinds.includes(kind);
}

/**
 * Who owns a name: issuer and subject in a form in which no two pairs meet. Throws `unauthorized` when either is
 * empty, because an empty owner would equal another empty one (zrok CVE-2026-40304).
 */
export function ownerOf(claims: Pick<Claims, "issuer" | "subject">): string {
  if (!claims.issuer || !claims.subject)
    throw new UnderpassError("unauthorized", "The token has no subject.");
  return JSON.stringify([claims.issuer, claims.subject]);
}
