import { createHash } from "node:crypto";
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import * as v from "valibot";
import { UnderpassError } from "../../shared/errors.ts";
import type { Revocation } from "../auth/revocations.ts";
import type { RevokedRegistry, RevokedWatcher } from "../cluster/revoked.ts";
import { type BucketPlace, WatchedBucket } from "./nats-watched-bucket.ts";

const revocationShape = v.object({ owner: v.string(), untilMs: v.pipe(v.number(), v.finite()) });

/** Revocations in a bucket of NATS. */
export class NatsRevocations implements RevokedRegistry {
  readonly #bucket: WatchedBucket<RevokedWatcher>;

  constructor(place: BucketPlace) {
    this.#bucket = new WatchedBucket(place, (_, watcher) => ({
      begun: () => watcher.begun(),
      complete: () => watcher.complete(),
      put: (_key, bytes) => {
        const revocation = revocationOf(bytes);
        if (revocation !== undefined) watcher.put(revocation);
      },
      // Nobody who is revoked is let in because of it.
      removed: () => {},
    }));
  }

  // The way's events.

  opened(nats: NatsConnection): Promise<() => void> {
    return this.#bucket.opened(nats);
  }

  lost(): void {
    if (this.#bucket.lost()) for (const watcher of this.#bucket.watchers) watcher.lost();
  }

  async put(revocation: Revocation): Promise<void> {
    try {
      while (!(await this.#attempt(revocation)));
    } catch (error) {
      if (error instanceof UnderpassError) throw error;
      // What is under way when the way breaks, ends with errors of the library.
      throw new UnderpassError("registry-unreachable", "NATS has not taken it.", { cause: error });
    }
  }

  watch(watcher: RevokedWatcher): void {
    this.#bucket.watch(watcher);
  }

  close(): void {
    this.#bucket.close();
  }

  /** Whether such a date stands there now, or a later one; false: somebody else was quicker. */
  #attempt(revocation: Revocation): Promise<boolean> {
    return this.#bucket.ask(async ({ kv }) => {
      const key = keyOf(revocation.owner);
      const stored = await kv.get(key);
      const there = stored?.operation === "PUT" ? revocationOf(stored.value) : undefined;
      if (there !== undefined && there.untilMs >= revocation.untilMs) return true;
      const bytes = new TextEncoder().encode(JSON.stringify(revocation));
      try {
        await kv.put(key, bytes, { previousSeq: stored?.revision ?? 0 });
        return true;
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence)
          return false;
        throw error;
      }
    });
  }
}

/** Owners are texts of any characters, and longer than a key should be. */
function keyOf(owner: string): string {
  return createHash("sha256").update(owner).digest("base64url");
}

function revocationOf(bytes: Uint8Array): Revocation | undefined {
  try {
    return v.parse(revocationShape, JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return undefined;
  }
}
