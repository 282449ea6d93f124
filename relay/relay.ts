import type { Clock } from "../shared/clock.ts";
import { codes } from "../shared/errors.ts";
import { Memory } from "../shared/mux/memory.ts";
import type { Listen, Listener } from "../shared/socket.ts";
import { controlPlane } from "./app.ts";
import { Tokens } from "./auth/tokens.ts";
import { HttpIngress } from "./ingress/http.ts";
import { OwnHost } from "./ingress/own-host.ts";
import type { RelayLog } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { Names } from "./names.ts";
import { Reception } from "./reception.ts";
import { Router, type Routing } from "./router.ts";
import { tunnelUrls } from "./tunnel-urls.ts";
import { Tunnels } from "./tunnels.ts";

export interface RelayConfig {
  readonly listen: { readonly host: string; readonly port: number };
  /** The runtime's sockets. */
  readonly accept: Listen;
  readonly clock: Clock;
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  readonly secret: Uint8Array;
  readonly domains: readonly string[];
  readonly publicUrl?: string | undefined;
  readonly routing: Routing;
  readonly nameTtlMs: number;
  readonly memoryBytes?: number;
  readonly log?: RelayLog;
  /** PEM texts: https and wss without a proxy. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
}

export interface RunningRelay {
  readonly port: number;
  /** Its own address, without a slash at the end. */
  readonly url: string;
  /** No new visitors or agents; what is open gets so long to finish. Resolves when all is closed. */
  stop(graceMs: number): Promise<void>;
}

const relayLimits = {
  defaultMemoryBytes: 536_870_912,
  maxNames: 200_000,
  /** So that one token can't take them all. */
  maxNamesPerOwner: 10_000,
  /** Lapsed names are looked for this often. */
  sweepMs: 60_000,
  /** While stopping: how often it looks whether all has finished. */
  stopStepMs: 50,
} as const;

/** Puts a relay together and starts it. Rejects with `port-in-use`. */
export async function startRelay(config: RelayConfig): Promise<RunningRelay> {
  const { clock, random, publicUrl, domains, routing } = config;
  let state: "starting" | "ready" | "draining" = "starting";
  const draining = () => state === "draining";
  const metrics = new Metrics();
  const memory = new Memory(config.memoryBytes ?? relayLimits.defaultMemoryBytes);
  const log = config.log ?? { write() {} };
  const names = new Names({
    ttlMs: config.nameTtlMs,
    random,
    maxNames: relayLimits.maxNames,
    maxNamesPerOwner: relayLimits.maxNamesPerOwner,
  });
  const tunnels = new Tunnels(names);
  const tokens = new Tokens(config.secret);
  const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname;
  const router = new Router({ domains, routing, publicHost });
  let url = "";
  const urlsOf = (name: string) => tunnelUrls(name, url, { domains, routing, publicUrl });
  const reception = new Reception({
    clock,
    tokens,
    names,
    tunnels,
    metrics,
    memory,
    log,
    random,
    urlsOf,
    draining,
  });
  const app = controlPlane({
    tokens,
    names,
    metrics,
    state: () => state,
    now: () => clock.now(),
    date: () => clock.date(),
    behindProxy: publicUrl !== undefined,
    fault: (error) => log.write({ event: "fault", message: error.message }),
    beforeMetrics: () => {
      metrics.memoryHeldBytes = memory.reservedBytes;
    },
  });
  const ownHost = new OwnHost(app, reception, clock, draining);
  const ownScheme = config.tls === undefined ? "http" : "https";
  const scheme = publicUrl === undefined ? ownScheme : publicUrl.startsWith("https:") ? "https" : "http";
  const ingress = new HttpIngress({ clock, router, tunnels, names, metrics, log, ownHost, scheme });
  let listener: Listener;
  try {
    listener = await config.accept({ ...config.listen, ...(config.tls && { tls: config.tls }) }, (socket) =>
      ingress.accept(socket),
    );
  } catch (error) {
    ingress.close();
    throw error;
  }
  url = `${ownScheme}://${config.listen.host.includes(":") ? `[${config.listen.host}]` : config.listen.host}:${listener.port}`;
  let cancelSweep = () => {};
  const sweep = () => {
    names.sweep(clock.now());
    cancelSweep = clock.at(clock.now() + relayLimits.sweepMs, sweep);
  };
  sweep();
  state = "ready";
  log.write({ event: "listening", url });

  const stop = async (graceMs: number): Promise<void> => {
    if (draining()) return;
    state = "draining";
    listener.close();
    ingress.drain();
    for (const { driver } of tunnels.sessions())
      driver.session.goaway("drain", "going-away", graceMs, codes["going-away"].meaning);
    const untilMs = clock.now() + graceMs;
    while (ingress.busy > 0 && clock.now() < untilMs) {
      await new Promise<void>((resolve) => clock.at(clock.now() + relayLimits.stopStepMs, resolve));
    }
    cancelSweep();
    for (const { driver } of [...tunnels.sessions()]) driver.close("going-away");
    ingress.close();
  };
  return { port: listener.port, url, stop };
}
