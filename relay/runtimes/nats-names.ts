import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import * as v from "valibot";
import { UnderpassError } from "../../shared/errors.ts";
import { type Kind, kinds } from "../../shared/kind.ts";
import {
  type FoundName,
  maxAgents,
  type NameEntry,
  type PortClaim,
  type PortRegistry,
  type Registry,
  type RegistryWatcher,
} from "../cluster/registry.ts";
import type { Bucket } from "./nats-bucket.ts";
import { type BucketPlace, WatchedBucket } from "./nats-watched-bucket.ts";

const number = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const entryShape = v.object({
  owner: v.string(),
  kind: v.picklist(kinds),
  port: v.exactOptional(number),
  agents: v.pipe(
    v.array(v.object({ instance: v.string(), generation: number, relays: v.array(v.string()) })),
    v.maxLength(maxAgents),
  ),
  generation: number,
  exclusive: number,
  beatAt: number,
  leftAt: v.exactOptional(number),
  bye: v.boolean(),
  lapsesAt: number,
});

const claimShape = v.object({ name: v.string() });

/**
 * A released name leaves a marker, so that whoever watches is told. It is taken away after this, when everybody has
 * been: who was out of reach meanwhile is told all anew.
 */
const markerMs = 60_000;

/** Names in a bucket of NATS. A revision is the bucket's age and its number: one that is made anew counts from 1 again. */
export class NatsNames implements Registry {
  readonly #place: BucketPlace;
  readonly #bucket: WatchedBucket<RegistryWatcher>;
  /** What cancels the sweeping of markers. */
  readonly #markers = new Set<() => void>();

  constructor(place: BucketPlace) {
    this.#place = place;
    this.#bucket = new WatchedBucket(place, (bucket, watcher) => ({
      begun: () => watcher.begun(),
      complete: () => watcher.complete(),
      put: (name, bytes, revision) => {
        const entry = entryOf(bytes);
        // Not one of ours: it can't be claimed, and looking it up says so.
        if (entry !== undefined) watcher.changed(name, { entry, revision: `${bucket.age} ${revision}` });
      },
      removed: (name, revision) => {
        watcher.changed(name, undefined);
        this.#sweepLater(bucket, revision);
      },
    }));
  }

  // The way's events.

  opened(nats: NatsConnection): Promise<() => void> {
    return this.#bucket.opened(nats);
  }

  lost(): void {
    if (!this.#bucket.lost()) return;
    this.#forgetMarkers();
    for (const watcher of this.#bucket.watchers) watcher.lost();
  }

  async claim(name: string, entry: NameEntry): Promise<string | undefined> {
    for (;;) {
      const revision = await this.#write((bucket) => bucket.kv.create(name, bytesOf(entry)));
      // Nobody has it: there was a marker, which was taken away before it could be written over.
      if (revision !== undefined || (await this.lookUp(name)) !== undefined) return revision;
    }
  }

  renew(name: string, entry: NameEntry, revision: string): Promise<string | undefined> {
    return this.#replace(name, bytesOf(entry), revision);
  }

  async release(name: string, revision: string): Promise<boolean> {
    const done = await this.#write(async (bucket) => {
      const previousSeq = numberIn(bucket, revision);
      if (previousSeq !== undefined) await bucket.kv.delete(name, { previousSeq });
      return previousSeq;
    });
    return done !== undefined;
  }

  lookUp(name: string): Promise<FoundName | undefined> {
    return this.#bucket.ask(async (bucket) => {
      const stored = await bucket.kv.get(name);
      if (stored === null || stored.operation !== "PUT") return undefined;
      const entry = entryOf(stored.value);
      if (entry === undefined)
        throw new UnderpassError(
          "registry-unreachable",
          `What stands for ${name} in the registry is no entry.`,
        );
      return { entry, revision: `${bucket.age} ${stored.revision}` };
    });
  }

  /** Beside the names, under keys that are none: whoever watches names passes over them. */
  readonly ports: PortRegistry = {
    claim: async (kind, port, name) => {
      const key = keyOf(kind, port);
      for (;;) {
        const revision = await this.#write((bucket) => bucket.kv.create(key, bytesOf({ name })));
        if (revision !== undefined) return { name, revision };
        const found = await this.#portClaim(key);
        if (found !== undefined) return found;
      }
    },
    renew: async (kind, port, { name, revision }) =>
      (await this.#replace(keyOf(kind, port), bytesOf({ name }), revision)) !== undefined,
    release: async (kind, port, { revision }) => void (await this.release(keyOf(kind, port), revision)),
  };

  watch(watcher: RegistryWatcher): void {
    this.#bucket.watch(watcher);
  }

  close(): void {
    this.#place.way().close();
    this.#bucket.close();
    this.#forgetMarkers();
  }

  #forgetMarkers(): void {
    for (const cancel of this.#markers) cancel();
    this.#markers.clear();
  }

  /** undefined: another revision stands there. */
  #write(run: (bucket: Bucket) => Promise<number | undefined> | undefined): Promise<string | undefined> {
    return this.#bucket.ask(async (bucket) => {
      try {
        const revision = await run(bucket);
        return revision === undefined ? undefined : `${bucket.age} ${revision}`;
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence)
          return undefined;
        throw error;
      }
    });
  }

  /** undefined: another revision than this stands there. */
  #replace(key: string, bytes: Uint8Array, revision: string): Promise<string | undefined> {
    return this.#write((bucket) => {
      const previousSeq = numberIn(bucket, revision);
      return previousSeq === undefined ? undefined : bucket.kv.put(key, bytes, { previousSeq });
    });
  }

  #portClaim(key: string): Promise<PortClaim | undefined> {
    return this.#bucket.ask(async (bucket) => {
      const stored = await bucket.kv.get(key);
      if (stored === null || stored.operation !== "PUT") return undefined;
      const { name } = v.parse(claimShape, JSON.parse(new TextDecoder().decode(stored.value)));
      return { name, revision: `${bucket.age} ${stored.revision}` };
    });
  }

  /**
   * Takes a marker away later: a claim that came after it has another number, and stays. All relays do so. By its number, as
   * after a purge of all that is of one subject, consumers pass over what they have not been sent of others, too (2.9.10).
   */
  #sweepLater({ streams, stream }: Bucket, revision: number): void {
    const cancel = this.#place.clock.at(this.#place.clock.now() + markerMs, () => {
      this.#markers.delete(cancel);
      // What fails is told again when the names are told anew.
      streams.streams.deleteMessage(stream, revision, false).catch(() => {});
    });
    this.#markers.add(cancel);
  }
}

function numberIn({ age }: Bucket, revision: string): number | undefined {
  return revision.startsWith(`${age} `) ? Number(revision.slice(age.length + 1)) : undefined;
}

function keyOf(kind: Kind, port: number): string {
  return `${kind}.${port}`;
}

function bytesOf(value: NameEntry | Pick<PortClaim, "name">): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function entryOf(bytes: Uint8Array): NameEntry | undefined {
  try {
    return v.parse(entryShape, JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return undefined;
  }
}
