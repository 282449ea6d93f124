import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Relay, startRelay } from "../../blackbox/programs/relay.ts";
import { startAgent } from "../../blackbox/programs/tunnel.ts";
import { CountedOrigin } from "./counted-origin.ts";
import { type Failure, Load } from "./load.ts";

export interface RollingOptions {
  readonly restarts: number;
  /** At least so many. */
  readonly requests: number;
  readonly visitors: number;
}

export interface RollingResult {
  readonly requests: number;
  readonly failures: readonly (Failure & { readonly seen: number })[];
  /** Numbers of requests that the origin saw more than once. */
  readonly repeated: readonly number[];
  /** Numbers of requests that were answered and that the origin did not see once. */
  readonly unseen: readonly number[];
  /** Of the relays that were told to end. */
  readonly exitCodes: readonly number[];
  readonly tookMs: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

const name = "rolling";

/** Replaces the relay under load, as an operator would: the successor listens on the same port, then SIGTERM to the old one. */
export async function rollingRestart({
  restarts,
  requests,
  visitors,
}: RollingOptions): Promise<RollingResult> {
  const startedAtMs = performance.now();
  await using cleanup = new AsyncDisposableStack();
  const data = await mkdtemp(join(tmpdir(), "underpass-rolling-"));
  cleanup.defer(() => rm(data, { recursive: true, force: true }));
  const origin = await CountedOrigin.listen();
  cleanup.defer(() => origin.close());
  const start = async (port: number): Promise<Relay> => {
    const relay = await startRelay({ data, port, args: ["--reuse-port", "--grace", "10s"] });
    cleanup.defer(() => relay.kill());
    return relay;
  };
  let relay = await start(0);
  const agent = await startAgent(relay, { origin: origin.port, name, token: await relay.token() });
  cleanup.defer(() => agent.kill());
  const load = new Load({ port: relay.port, host: relay.hostFor(name) }, visitors);
  cleanup.defer(() => load.stop());
  const exitCodes: number[] = [];
  for (let restart = 1; restart <= restarts; restart++) {
    await load.reached((requests * restart) / (restarts + 1));
    const old = relay;
    relay = await start(old.port);
    old.program?.signal("SIGTERM");
    exitCodes.push((await old.program?.exit()) ?? -1);
  }
  await load.reached(requests);
  await load.stop();
  const failed = new Set(load.failures.map(({ id }) => id));
  const ids = Array.from({ length: load.requests }, (_, i) => i + 1);
  const sorted = load.latenciesMs.toSorted((a, b) => a - b);
  const quantile = (part: number) => Number((sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(1));
  return {
    requests: load.requests,
    failures: load.failures.map((failure) => ({ ...failure, seen: origin.seen.get(failure.id) ?? 0 })),
    repeated: origin.repeated,
    unseen: ids.filter((id) => !failed.has(id) && !origin.seen.has(id)),
    exitCodes,
    tookMs: Math.round(performance.now() - startedAtMs),
    latencyMs: { p50: quantile(0.5), p99: quantile(0.99), max: quantile(1) },
  };
}
