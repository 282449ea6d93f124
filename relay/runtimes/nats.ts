import type { Bus } from "../../shared/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { NodeBoard } from "../cluster/board.ts";
import type { Registry } from "../cluster/registry.ts";
import type { RevokedRegistry } from "../cluster/revoked.ts";
import { NatsBoard } from "./nats-board.ts";
import { checkPayload, NatsBus } from "./nats-bus.ts";
import { NatsNames } from "./nats-names.ts";
import { readNatsPlaces } from "./nats-place.ts";
import { NatsRevocations } from "./nats-revocations.ts";
import { NatsWay, natsLimits } from "./nats-way.ts";

export interface NatsOptions {
  /** One or more, with commas between: `nats://a:4222,tls://user:password@b:4222`. */
  readonly urls: string;
  /** The text of a `.creds` file. */
  readonly credentials?: string | undefined;
  /** `[a-z0-9-]{1,32}`: what is between the dots of subjects, and in the names of buckets. */
  readonly cluster: string;
  readonly clock: Clock;
  /** It is out of reach, whatever of it broke first; undefined: all of it works again. Told once for each change. */
  readonly fault: (error: UnderpassError | undefined) => void;
}

export interface Nats {
  readonly registry: Registry;
  readonly board: NodeBoard;
  readonly bus: Bus;
  readonly revoked: RevokedRegistry;
  close(): Promise<void>;
}

/** A relay that can't reach it at its start, says so and ends. */
const firstMs = 5_000;

/**
 * What relays share, over NATS with JetStream (nats-server 2.9 and later): names and nodes in buckets, links over
 * subjects, each with a way of its own, so that no name waits behind bulk. Rejects where it can't be reached within 5 s
 * (`registry-unreachable`), and throws `usage` for wrong options; no message tells a secret.
 */
export async function openNats({ urls, credentials, cluster, clock, fault }: NatsOptions): Promise<Nats> {
  if (!/^[a-z0-9-]{1,32}$/.test(cluster)) {
    throw new UnderpassError("usage", "The name of a cluster is 1 to 32 of a-z, 0-9 and '-'.");
  }
  const places = readNatsPlaces(urls);
  const faulty = new Set<string>();
  let isTold = false;
  const options = (name: string) => ({
    ...{ places, credentials, clock, name: `underpass ${cluster} ${name}` },
    fault: (error: UnderpassError | undefined): void => {
      if (error !== undefined) {
        faulty.add(name);
        if (isTold || !isStarted) return;
      } else {
        faulty.delete(name);
        if (!isTold || faulty.size > 0) return;
      }
      isTold = error !== undefined;
      fault(error);
    },
  });
  let isStarted = false;
  const registry = new NatsNames({ way: () => registryWay, bucket: `underpass_${cluster}_names`, clock });
  const board = new NatsBoard({ way: () => registryWay, bucket: `underpass_${cluster}_nodes`, clock });
  const revoked = new NatsRevocations({
    ...{ way: () => registryWay, bucket: `underpass_${cluster}_revoked`, clock },
  });
  const bus = new NatsBus({ way: () => busWay });
  const registryWay = new NatsWay({
    ...options("registry"),
    async opened(nats) {
      const begins = await Promise.all([registry.opened(nats), board.opened(nats), revoked.opened(nats)]);
      return () => {
        for (const begin of begins) begin();
      };
    },
    lost() {
      registry.lost();
      board.lost();
      revoked.lost();
    },
  });
  const busWay: NatsWay = new NatsWay({
    ...options("bus"),
    async opened(nats) {
      checkPayload(nats, natsLimits.minPayloadBytes);
      return bus.opened(nats);
    },
    lost: () => bus.lost(),
  });
  const close = async (): Promise<void> => {
    registry.close();
    board.close();
    revoked.close();
    busWay.close();
  };
  const late = Promise.withResolvers<void>();
  const cancel = clock.at(clock.now() + firstMs, () => {
    late.reject(registryWay.lastFault ?? busWay.lastFault ?? new UnderpassError("registry-unreachable"));
  });
  try {
    await Promise.race([late.promise, Promise.all([registryWay.first, busWay.first])]);
  } catch (error) {
    await close();
    throw error;
  } finally {
    cancel();
  }
  isStarted = true;
  return { registry, board, bus, revoked, close };
}
