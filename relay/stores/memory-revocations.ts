import { UnderpassError } from "../../shared/errors.ts";
import { maxRevocations, type Revocations } from "../auth/revocations.ts";

/** Revocations of this process alone; they end with it. */
export class MemoryRevocations implements Revocations {
  readonly #byOwner = new Map<string, number>();

  revokedUntil(owner: string): number | undefined {
    return this.#byOwner.get(owner);
  }

  revoke(owner: string, untilMs: number): void {
    if (!this.#byOwner.has(owner) && this.#byOwner.size >= maxRevocations)
      throw new UnderpassError("too-many-requests", "The relay holds as many revocations as it may.");
    this.#byOwner.set(owner, Math.max(untilMs, this.#byOwner.get(owner) ?? 0));
  }
}
