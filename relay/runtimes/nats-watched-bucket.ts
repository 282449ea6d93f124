import type { NatsConnection } from "@nats-io/nats-core";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { type Bucket, type BucketWish, openBucket } from "./nats-bucket.ts";
import { BucketWatch, type BucketWatcher } from "./nats-watch.ts";
import type { NatsWay } from "./nats-way.ts";

/** Where a bucket is, for what is kept in it. */
export interface BucketPlace {
  way(): NatsWay;
  /** Its name. */
  readonly bucket: string;
  readonly clock: Clock;
}

/** A bucket over a way that breaks and comes back: whoever watches it is told all anew each time. */
export class WatchedBucket<Watcher> {
  readonly watchers = new Set<Watcher>();
  readonly #place: BucketPlace;
  readonly #wish: Omit<BucketWish, "name">;
  readonly #ear: (bucket: Bucket, watcher: Watcher) => BucketWatcher;
  readonly #watches = new Set<BucketWatch>();
  #open: { readonly nats: NatsConnection; readonly bucket: Bucket } | undefined;

  /** `ear`: what hears the bucket for a watcher. */
  constructor(
    place: BucketPlace,
    ear: (bucket: Bucket, watcher: Watcher) => BucketWatcher,
    wish: Omit<BucketWish, "name"> = {},
  ) {
    this.#place = place;
    this.#ear = ear;
    this.#wish = wish;
  }

  /** There is a way: resolves with what is to be called once it can be asked. */
  async opened(nats: NatsConnection): Promise<() => void> {
    const bucket = await openBucket(nats, { name: this.#place.bucket, ...this.#wish });
    return () => {
      this.#open = { nats, bucket };
      for (const watcher of this.watchers) this.#begin(this.#open, watcher);
    };
  }

  /** The way is gone. false: it was before. */
  lost(): boolean {
    const wasOpen = this.#open !== undefined;
    this.#open = undefined;
    this.close();
    return wasOpen;
  }

  watch(watcher: Watcher): void {
    this.watchers.add(watcher);
    if (this.#open !== undefined) this.#begin(this.#open, watcher);
  }

  /** Rejects with `registry-unreachable` where there is no way, or none any more. */
  ask<T>(run: (bucket: Bucket) => Promise<T>): Promise<T> {
    return this.#place.way().ask(async () => {
      if (this.#open === undefined) throw new UnderpassError("registry-unreachable");
      return run(this.#open.bucket);
    });
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
    this.#watches.clear();
  }

  #begin({ nats, bucket }: { nats: NatsConnection; bucket: Bucket }, watcher: Watcher): void {
    const { clock, way } = this.#place;
    const broke = (error: unknown): void => way().again(error);
    this.#watches.add(new BucketWatch(nats, bucket, { clock, broke, watcher: this.#ear(bucket, watcher) }));
  }
}
