import { checkRoom, type OwnRevocations, type Revocation } from "../auth/revocations.ts";

/** Revocations of this process alone; they end with it. */
export class MemoryRevocations implements OwnRevocations {
  readonly #byOwner = new Map<string, number>();

  get size(): number {
    return this.#byOwner.size;
  }

  revokedUntil(owner: string): number | undefined {
    return this.#byOwner.get(owner);
  }

  revoke(owner: string, untilMs: number): void {
    checkRoom(this, owner);
    this.#byOwner.set(owner, Math.max(untilMs, this.#byOwner.get(owner) ?? 0));
  }

  all(): readonly Revocation[] {
    return Array.from(this.#byOwner, ([owner, untilMs]) => ({ owner, untilMs }));
  }
}
