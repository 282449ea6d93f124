import type { NatsConnection } from "@nats-io/nats-core";
import * as v from "valibot";
import type { BoardWatcher, NodeBoard, NodeFacts } from "../cluster/board.ts";
import type { Bucket } from "./nats-bucket.ts";
import type { BucketWatcher } from "./nats-watch.ts";
import { type BucketPlace, WatchedBucket } from "./nats-watched-bucket.ts";

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
  readonly #bucket: WatchedBucket<BoardWatcher>;

  constructor(place: BucketPlace) {
    const ear = (_: Bucket, watcher: BoardWatcher): BucketWatcher => ({
      begun: () => watcher.reachable(true),
      complete: () => {},
      put: (_key, bytes) => {
        const facts = factsOf(bytes);
        // One that another version puts up otherwise is not one that this one can talk to.
        if (facts !== undefined) watcher.put(facts);
      },
      removed: (id) => watcher.removed(id),
    });
    this.#bucket = new WatchedBucket(place, ear, { ttlMs, inMemory: true });
  }

  // The way's events.

  opened(nats: NatsConnection): Promise<() => void> {
    return this.#bucket.opened(nats);
  }

  lost(): void {
    if (this.#bucket.lost()) for (const watcher of this.#bucket.watchers) watcher.reachable(false);
  }

  async put(node: NodeFacts): Promise<void> {
    await this.#bucket.ask(({ kv }) => kv.put(node.id, new TextEncoder().encode(JSON.stringify(node))));
  }

  remove(id: string): Promise<void> {
    return this.#bucket.ask(({ kv }) => kv.delete(id));
  }

  watch(watcher: BoardWatcher): void {
    this.#bucket.watch(watcher);
  }

  close(): void {
    this.#bucket.close();
  }
}

function factsOf(bytes: Uint8Array): NodeFacts | undefined {
  try {
    return v.parse(factsShape, JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return undefined;
  }
}
