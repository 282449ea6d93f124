import { createHash } from "node:crypto";
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import * as v from "valibot";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { Revocation } from "../auth/revocations.ts";
import type { RevokedRegistry, RevokedWatcher } from "../cluster/revoked.ts";
import { type Bucket, openBucket } from "./nats-bucket.ts";
import { BucketWatch } from "./nats-watch.ts";
import type { NatsWay } from "./nats-way.ts";

const revocationShape = v.object({ owner: v.string(), untilMs: v.pipe(v.number(), v.finite()) });

/** Revocations in a bucket of NATS. */
export class NatsRevocations implements RevokedRegistry {
  readonly #way: () => NatsWay;
  readonly #bucketName: string;
  readonly #clock: Clock;
  readonly #watchers = new Set<RevokedWatcher>();
  readonly #watches = new Set<BucketWatch>();
  #nats: NatsConnection | undefined;
  #bucket: Bucket | undefined;

  constructor({ way, bucket, clock }: { way(): NatsWay; readonly bucket: string; readonly clock: Clock }) {
    this.#way = way;
    this.#bucketName = bucket;
    this.#clock = clock;
  }

  // The way's events.

  async opened(nats: NatsConnection): Promise<() => void> {
    const bucket = await openBucket(nats, { name: this.#bucketName });
    return () => {
      this.#bucket = bucket;
      this.#nats = nats;
      for (const watcher of this.#watchers) this.#begin(nats, bucket, watcher);
    };
  }

  lost(): void {
    this.#nats = undefined;
    this.#bucket = undefined;
    this.close();
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
    this.#watchers.add(watcher);
    if (this.#nats !== undefined && this.#bucket !== undefined)
      this.#begin(this.#nats, this.#bucket, watcher);
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
    this.#watches.clear();
  }

  #begin(nats: NatsConnection, bucket: Bucket, watcher: RevokedWatcher): void {
    this.#watches.add(
      new BucketWatch(nats, bucket, {
        clock: this.#clock,
        broke: (error) => this.#way().again(error),
        watcher: {
          begun: () => watcher.begun(),
          complete: () => watcher.complete(),
          put: (_, bytes) => {
            const revocation = revocationOf(bytes);
            if (revocation !== undefined) watcher.put(revocation);
          },
          // Nobody who is revoked is let in because of it.
          removed: () => {},
        },
      }),
    );
  }

  /** Whether such a date stands there now, or a later one; false: somebody else was quicker. */
  #attempt(revocation: Revocation): Promise<boolean> {
    return this.#way().ask(async () => {
      const kv = this.#bucket?.kv;
      if (kv === undefined) throw new UnderpassError("registry-unreachable");
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
