import type { NatsConnection } from "@nats-io/transport-node";
import * as v from "valibot";
import { base64url } from "../../shared/base64url.ts";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { maxRevocations, type Revocations } from "../auth/revocations.ts";
import { type Bucket, openBucket } from "./nats-bucket.ts";
import { BucketWatch } from "./nats-watch.ts";
import type { NatsWay } from "./nats-way.ts";

const revocationShape = v.object({
  owner: v.string(),
  untilMs: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});

/**
 * Whose tokens are taken back, in a bucket of NATS. Each relay knows all of them, so that it refuses them while NATS is
 * away, too; where the bucket comes back empty, they are put there again.
 */
export class NatsRevocations implements Revocations {
  readonly #way: () => NatsWay;
  readonly #bucketName: string;
  readonly #clock: Clock;
  readonly #known = new Map<string, number>();
  readonly #watchers = new Set<(owner: string, untilMs: number) => void>();
  /** Told since the bucket began to tell all. */
  #told = new Set<string>();
  #bucket: Bucket | undefined;
  #watch: BucketWatch | undefined;

  constructor({ way, bucket, clock }: { way(): NatsWay; readonly bucket: string; readonly clock: Clock }) {
    this.#way = way;
    this.#bucketName = bucket;
    this.#clock = clock;
  }

  // The way's events.

  /** Resolves when all are known: before, a relay would take tokens that were taken back. */
  async opened(nats: NatsConnection): Promise<void> {
    const bucket = await openBucket(nats, { name: this.#bucketName });
    if (nats.isClosed()) return;
    this.#bucket = bucket;
    const known = Promise.withResolvers<void>();
    this.#watch = new BucketWatch(nats, bucket, {
      clock: this.#clock,
      broke: (error) => {
        known.reject(error);
        this.#way().again(error);
      },
      watcher: {
        begun: () => {
          this.#told = new Set();
        },
        put: (_, bytes) => this.#learn(bytes),
        removed: () => {},
        complete: () => {
          known.resolve();
          void this.#putBack(bucket);
        },
      },
    });
    await known.promise;
  }

  lost(): void {
    this.close();
    this.#bucket = undefined;
  }

  close(): void {
    this.#watch?.close();
  }

  // Revocations

  revokedUntil(owner: string): number | undefined {
    return this.#known.get(owner);
  }

  /** Rejects with `registry-unreachable` where the others can't be told. */
  async revoke(owner: string, untilMs: number): Promise<void> {
    if (!this.#known.has(owner) && this.#known.size >= maxRevocations)
      throw new UnderpassError("too-many-requests", "The relay holds as many revocations as it may.");
    const latestMs = Math.max(untilMs, this.#known.get(owner) ?? 0);
    await this.#way().ask(async () => {
      if (this.#bucket === undefined) throw new UnderpassError("registry-unreachable");
      return write(this.#bucket, owner, latestMs);
    });
    this.#keep(owner, latestMs);
  }

  watch(watcher: (owner: string, untilMs: number) => void): void {
    this.#watchers.add(watcher);
  }

  #learn(bytes: Uint8Array): void {
    const revocation = revocationOf(bytes);
    // Not one of ours.
    if (revocation === undefined) return;
    const { owner, untilMs } = revocation;
    this.#told.add(owner);
    if (untilMs <= (this.#known.get(owner) ?? 0)) return;
    this.#keep(owner, untilMs);
    for (const watcher of this.#watchers) watcher(owner, untilMs);
  }

  #keep(owner: string, untilMs: number): void {
    this.#known.set(owner, Math.max(untilMs, this.#known.get(owner) ?? 0));
  }

  /** What this relay knows, and a bucket that is new does not. */
  async #putBack(bucket: Bucket): Promise<void> {
    const lost = [...this.#known].filter(([owner]) => !this.#told.has(owner));
    try {
      for (const [owner, untilMs] of lost) await write(bucket, owner, untilMs);
    } catch {
      // The way broke: it is done when the bucket is there again.
    }
  }
}

async function write({ kv }: Bucket, owner: string, untilMs: number): Promise<void> {
  const encoder = new TextEncoder();
  await kv.put(base64url(encoder.encode(owner)), encoder.encode(JSON.stringify({ owner, untilMs })));
}

function revocationOf(bytes: Uint8Array): v.InferOutput<typeof revocationShape> | undefined {
  try {
    return v.parse(revocationShape, JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return undefined;
  }
}
