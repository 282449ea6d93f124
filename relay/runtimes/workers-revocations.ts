import type { Revocations } from "../auth/revocations.ts";

/** The binding of the objects that `OwnerObject` makes. */
export interface OwnersEnv {
  readonly OWNERS: {
    idFromName(owner: string): unknown;
    get(id: unknown): {
      revokedUntil(): Promise<number | undefined>;
      revoke(untilMs: number): Promise<void>;
    };
  };
}

/** Revocations as each owner's own object has them. */
export function workersRevocations({ OWNERS }: OwnersEnv): Revocations {
  const ownerAt = (owner: string) => OWNERS.get(OWNERS.idFromName(owner));
  return {
    revokedUntil: (owner) => ownerAt(owner).revokedUntil(),
    revoke: (owner, untilMs) => ownerAt(owner).revoke(untilMs),
  };
}
