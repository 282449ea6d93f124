import { UnderpassError } from "../../shared/errors.ts";

/**
 * Whose tokens are worth nothing any more. A token has no identity of its own, so a subject is revoked: all that was
 * issued to him up to a moment. What he is given later is good again.
 */
export interface Revocations {
  /** The tokens of this owner (`ownerOf`) that were issued up to then, in ms since 1970, are revoked. undefined: none. */
  revokedUntil(owner: string): number | undefined | Promise<number | undefined>;
  /** Throws, or rejects with, `too-many-requests`, `registry-unreachable` or `internal-error` where it can't be kept. */
  revoke(owner: string, untilMs: number): void | Promise<void>;
  /** Calls `told` for what others revoke, from now on. Absent: it is not told, and has to be looked for. */
  watch?(told: (revocation: Revocation) => void): void;
}

export interface Revocation {
  readonly owner: string;
  readonly untilMs: number;
}

/** Revocations that a process has at hand. An earlier date than the one that it has changes nothing. */
export interface OwnRevocations extends Revocations {
  readonly size: number;
  revokedUntil(owner: string): number | undefined;
  revoke(owner: string, untilMs: number): void;
  all(): readonly Revocation[];
}

/** An operator revokes by hand: more than this is a mistake, or an attack with his token. */
export const maxRevocations = 100_000;

/** `too-many-requests`, where one more owner would be above `maxRevocations`. */
export function checkRoom(own: Pick<OwnRevocations, "size" | "revokedUntil">, owner: string): void {
  if (own.size >= maxRevocations && own.revokedUntil(owner) === undefined)
    throw new UnderpassError("too-many-requests", "The relay holds as many revocations as it may.");
}
