import { checkRoom, type OwnRevocations, type Revocation, type Revocations } from "../auth/revocations.ts";
import type { RevokedRegistry } from "../cluster/revoked.ts";

export interface SharedRevocationsDeps {
  readonly registry: RevokedRegistry;
  /** All that this relay knows of. What it has from before it was one of several is told to the others. */
  readonly own: OwnRevocations;
  readonly fault: (error: Error) => void;
}

/**
 * Revocations of all relays of a cluster. Who dials is looked up in what this relay knows, which the registry tells: so
 * it holds whether that can be reached or not. A registry that lost some is given them again by every relay that has them.
 */
export class SharedRevocations implements Revocations {
  /** All that the registry has is known here, for the first time: nobody is let in before. */
  readonly first: Promise<void>;
  readonly #deps: SharedRevocationsDeps;
  readonly #watchers = new Set<(revocation: Revocation) => void>();
  /** What the registry has told since it began to tell all; dates by owner. */
  readonly #there = new Map<string, number>();
  /** Counts how often it began, or went out of reach. */
  #round = 0;

  constructor(deps: SharedRevocationsDeps) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#deps = deps;
    this.first = promise;
    deps.registry.watch({
      begun: () => {
        this.#round++;
        this.#there.clear();
      },
      put: (revocation) => {
        const { owner, untilMs } = revocation;
        this.#there.set(owner, Math.max(untilMs, this.#there.get(owner) ?? 0));
        this.#know(revocation);
      },
      complete: () => {
        resolve();
        void this.#tellAgain(this.#round);
      },
      lost: () => void this.#round++,
    });
  }

  revokedUntil(owner: string): number | undefined {
    return this.#deps.own.revokedUntil(owner);
  }

  /** Resolves once the registry has it: from then on it reaches every relay. */
  async revoke(owner: string, untilMs: number): Promise<void> {
    const { registry, own } = this.#deps;
    checkRoom(own, owner);
    await registry.put({ owner, untilMs });
    this.#know({ owner, untilMs });
  }

  watch(told: (revocation: Revocation) => void): void {
    this.#watchers.add(told);
  }

  #know(revocation: Revocation): void {
    const { own, fault } = this.#deps;
    const { owner, untilMs } = revocation;
    try {
      // Each is told again whenever the registry comes back, and a file is written to the disk.
      if ((own.revokedUntil(owner) ?? Number.NEGATIVE_INFINITY) >= untilMs) return;
      own.revoke(owner, untilMs);
    } catch (error) {
      fault(error instanceof Error ? error : new Error(String(error)));
    }
    // Where it can't be kept, it ends at least what goes on.
    for (const told of this.#watchers) told(revocation);
  }

  /** One after another: that the registry is as it was may take its time, and a way that has just come back is busy. */
  async #tellAgain(round: number): Promise<void> {
    const { registry, own, fault } = this.#deps;
    try {
      for (const revocation of own.all()) {
        const there = this.#there.get(revocation.owner);
        if (there !== undefined && there >= revocation.untilMs) continue;
        if (round !== this.#round) return;
        await registry.put(revocation);
      }
    } catch (error) {
      // Where it went out of reach, it says so itself, and tells all again when it is back.
      if (round === this.#round) fault(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
