import { readFile } from "node:fs/promises";
import manifest from "../../package.json" with { type: "json" };
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { OwnRevocations, Revocations } from "../auth/revocations.ts";
import type { ClusterConfig } from "../cluster/cluster.ts";
import { advertisedUrl, type ClusterOptions } from "../cluster/cluster-options.ts";
import { newNodeId } from "../cluster/node-id.ts";
import { SharedRevocations } from "../stores/shared-revocations.ts";
import { openNats } from "./nats.ts";

/** A relay that is not told in time who is revoked says so and ends. */
const toldWithinMs = 5_000;

/** A relay's place among others, over NATS, once it knows who is revoked. Rejects with `registry-unreachable`, or `usage` for a file that can't be read. */
export async function joinCluster(
  { urls, credentialsFile, name, advertise }: ClusterOptions,
  {
    clock,
    own,
    fault,
  }: {
    readonly clock: Clock;
    /** What this relay knows of revocations. */
    readonly own: OwnRevocations;
    /** undefined: NATS was out of reach, and works again. */
    readonly fault: (error: Error | undefined) => void;
  },
): Promise<{ readonly cluster: ClusterConfig; readonly revocations: Revocations; close(): Promise<void> }> {
  const nats = await openNats({
    ...{ urls: urls.join(","), cluster: name, clock, fault },
    ...(credentialsFile !== undefined && { credentials: await readCredentials(credentialsFile) }),
  });
  const { registry, board, bus, revoked } = nats;
  const revocations = new SharedRevocations({ registry: revoked, own, fault });
  const late = Promise.withResolvers<never>();
  const cancel = clock.at(clock.now() + toldWithinMs, () =>
    late.reject(new UnderpassError("registry-unreachable", "NATS does not tell what was revoked.")),
  );
  try {
    await Promise.race([revocations.first, late.promise]);
  } catch (error) {
    await nats.close();
    throw error;
  } finally {
    cancel();
  }
  const id = newNodeId((bytes) => crypto.getRandomValues(bytes));
  return {
    cluster: {
      ...{ id, name, version: manifest.version, registry, board, bus },
      ...(advertise !== undefined && { advertise: (port) => advertisedUrl(advertise, port) }),
    },
    revocations,
    close: () => nats.close(),
  };
}

async function readCredentials(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UnderpassError("usage", `--cluster-credentials can't be read: ${why}`, { cause });
  }
}
