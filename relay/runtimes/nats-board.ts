import type { NatsConnection } from "@nats-io/nats-core";
import * as v from "valibot";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { BoardWatcher, NodeBoard, NodeFacts } from "../cluster/board.ts";
import { type Bucket, openBucket } from "./nats-bucket.ts";
import { BucketWatch } from "./nats-watch.ts";
import type { NatsWay } from "./nats-way.ts";

/** What a relay has not put up again for so long is taken away by the server. */
const ttlMs = 10_000;

const factsShape = v.object({
  id: v.string(),
  url: v.exactOptional(v.string()),
  state: v.picklist(["ready", "draining"]),
  version: v.string(),
  startedAt: v.number(),
  tunnels: v.number(),
  sessions: v.number(),
  hopsIn: v.number(),
  hopsOut: v.number(),
});

/** What relays tell of themselves, in a bucket of NATS. */
export class NatsBoard implements NodeBoard {
  readonly #way: () => NatsWay;
  readonly #bucketName: string;
  readonly #clock: Clock;
  readonly #watchers = new Set<BoardWatcher>();
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
    const bucket = await openBucket(nats, { name: this.#bucketName, ttlMs, inMemory: true });
    return () => {
      this.#bucket = bucket;
      this.#nats = nats;
      for (const watcher of this.#watchers) this.#begin(nats, bucket, watcher);
    };
  }

  lost(): void {
    if (this.#bucket === undefined) return;
    this.#nats = undefined;
    this.#bucket = undefined;
    this.close();
    for (const watcher of this.#watchers) watcher.reachable(false);
  }

  async put(node: NodeFacts): Promise<void> {
    await this.#ask(({ kv }) => kv.put(node.id, new TextEncoder().encode(JSON.stringify(node))));
  }

  remove(id: string): Promise<void> {
    return this.#ask(({ kv }) => kv.delete(id));
  }

  watch(watcher: BoardWatcher): void {
    this.#watchers.add(watcher);
    if (this.#nats !== undefined && this.#bucket !== undefined)
      this.#begin(this.#nats, this.#bucket, watcher);
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
    this.#watches.clear();
  }

  #begin(nats: NatsConnection, bucket: Bucket, watcher: BoardWatcher): void {
    this.#watches.add(
      new BucketWatch(nats, bucket, {
        clock: this.#clock,
        broke: (error) => this.#way().again(error),
        watcher: {
          begun: () => watcher.reachable(true),
          complete: () => {},
          put: (_, bytes) => {
            const facts = factsOf(bytes);
            // One that another version puts up otherwise is not one that this one can talk to.
            if (facts !== undefined) watcher.put(facts);
          },
          removed: (id) => watcher.removed(id),
        },
      }),
    );
  }

  #ask<T>(run: (bucket: Bucket) => Promise<T>): Promise<T> {
    return this.#way().ask(async () => {
      const bucket = this.#bucket;
      if (bucket === undefined) throw new UnderpassError("registry-unreachable");
      return run(bucket);
    });
  }
}

function factsOf(bytes: Uint8Array): NodeFacts | undefined {
  try {
    return v.parse(factsShape, JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return undefined;
  }
}
