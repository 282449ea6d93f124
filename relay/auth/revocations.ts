/**
 * Whose tokens are worth nothing any more. A token has no identity of its own, so a subject is revoked: all that was
 * issued to him up to a moment. What he is given later is good again.
 */
export interface Revocations {
  /** The tokens of this owner (`ownerOf`) that were issued up to then, in ms since 1970, are revoked. undefined: none. */
  revokedUntil(owner: string): number | undefined | Promise<number | undefined>;
  /** Throws, or rejects with, `too-many-requests` or `internal-error` where it can't be kept. */
  revoke(owner: string, untilMs: number): void | Promise<void>;
  /** Told of those that others revoke, at once. Absent: they have to be looked for. */
  watch?(watcher: (owner: string, untilMs: number) => void): void;
}

/** An operator revokes by hand: more than this is a mistake, or an attack with his token. */
export const maxRevocations = 100_000;
