import { type JetStreamManager, jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/nats-core";
import { natsLimits } from "./nats-way.ts";

export interface BucketWish {
  readonly name: string;
  /** What was put longer ago disappears; absent: nothing does. */
  readonly ttlMs?: number;
  /** In memory only: it is put again anyway. */
  readonly inMemory?: boolean;
}

/** A bucket of NATS as it is on one way: it ends with it. */
export interface Bucket {
  readonly kv: KV;
  readonly streams: JetStreamManager;
  /** Of the stream beneath: `KV_` and the bucket's name. */
  readonly stream: string;
  /** When it was made. One that is made anew counts its revisions from 1 again. */
  readonly age: string;
}

/** Opens the bucket, and makes it where there is none: one that was made with more replicas stays as it is. */
export async function openBucket(
  nats: NatsConnection,
  { name, ttlMs, inMemory }: BucketWish,
): Promise<Bucket> {
  const within = { timeout: natsLimits.askMs };
  const streams = await jetstreamManager(nats, within);
  const kv = await new Kvm(jetstream(nats, within)).create(name, {
    history: 1,
    storage: inMemory === true ? StorageType.Memory : StorageType.File,
    // A replica that answers by itself may be behind.
    allow_direct: false,
    ...(ttlMs !== undefined && { ttl: ttlMs }),
  });
  const stream = `KV_${name}`;
  const { created } = await streams.streams.info(stream);
  return { kv, streams, stream, age: created };
}
