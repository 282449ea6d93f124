import type { Clock } from "../shared/clock.ts";
import type { OpenDatagrams } from "../shared/datagrams.ts";
import { EgressDoor } from "../shared/egress/door.ts";
import { Hold } from "../shared/hold.ts";
import type { SessionKind } from "../shared/kind.ts";
import { Memory } from "../shared/mux/memory.ts";
import type { Resolve } from "../shared/resolve.ts";
import { watchSleep } from "../shared/sleep.ts";
import type { Dial, Listen, Listener } from "../shared/socket.ts";
import type { AgentSession } from "./agent-session.ts";
import { controlPlane } from "./app.ts";
import { Tokens } from "./auth/tokens.ts";
import { Callers } from "./callers.ts";
import { EgressGrants } from "./egress-grants.ts";
import type { PortRange } from "./endpoints.ts";
import { EventLinks } from "./event-links.ts";
import { BytesIngress } from "./ingress/bytes.ts";
import { Calls } from "./ingress/calls.ts";
import { HttpIngress } from "./ingress/http.ts";
import { OwnHost } from "./ingress/own-host.ts";
import type { RelayLog } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { Names } from "./names.ts";
import { Reception } from "./reception.ts";
import { Router, type Routing } from "./router.ts";
import type { NameStore } from "./store.ts";
import { Suspended } from "./suspended.ts";
import { tunnelUrls } from "./tunnel-urls.ts";
import { queueOf } from "./tunnel-way.ts";
import { Tunnels } from "./tunnels.ts";

export interface RelayConfig {
  readonly listen: { readonly host: string; readonly port: number };
  /** Another process may listen there too: the one before or after this one. */
  readonly reusePort?: boolean;
  /** The runtime's sockets. */
  readonly accept: Listen;
  readonly clock: Clock;
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  readonly secret: Uint8Array;
  readonly domains: readonly string[];
  readonly publicUrl?: string | undefined;
  readonly routing: Routing;
  readonly nameTtlMs: number;
  /** Where names are kept. Absent: in memory. */
  readonly names?: NameStore;
  readonly memoryBytes?: number;
  /** How long a session waits for its agent's next link; 60 s where absent. */
  readonly resumeWindowMs?: number;
  readonly log?: RelayLog;
  /** Public ports for tcp and udp tunnels; absent: this relay offers none. */
  readonly tcpPorts?: PortRange | undefined;
  readonly udpPorts?: PortRange | undefined;
  /** Where tls tunnels are reached by the name that their visitors ask for (SNI). */
  readonly tlsListen?: { readonly host: string; readonly port: number } | undefined;
  /** The runtime's UDP sockets, for udp tunnels and egress. */
  readonly openDatagrams: OpenDatagrams;
  /** For egress, which no token grants by itself. */
  readonly dial: Dial;
  readonly resolve: Resolve;
  /** Whether a public address is this machine's own: egress takes it for loopback. Absent: none is known to be. */
  readonly isOwn?: (address: string, port: number) => boolean;
  /** PEM texts: https and wss without a proxy. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
}

export interface RunningRelay {
  readonly port: number;
  /** Its own address, without a slash at the end. */
  readonly url: string;
  /** Where tls tunnels are reached. */
  readonly tlsPort?: number;
  /**
   * No new visitors or agents; what is open gets so long to finish, and idle visitors some seconds for what they may
   * have under way. Agents are told at once, and kept until no visitor needs them. Resolves when all is closed.
   */
  stop(graceMs: number): Promise<void>;
}

const relayLimits = {
  defaultMemoryBytes: 536_870_912,
  maxNames: 200_000,
  /** So that one token can't take them all. */
  maxNamesPerOwner: 10_000,
  /** Promised to users: a laptop that changes networks is back by then. */
  resumeWindowMs: 60_000,
  /** Lapsed names are looked for this often. */
  sweepMs: 60_000,
} as const;

/** Puts a relay together and starts it. Rejects with `port-in-use`. */
export async function startRelay(config: RelayConfig): Promise<RunningRelay> {
  const { clock, random, publicUrl, domains, routing, resumeWindowMs = relayLimits.resumeWindowMs } = config;
  let state: "starting" | "ready" | "draining" = "starting";
  const draining = () => state === "draining";
  const metrics = new Metrics();
  const memory = new Memory(config.memoryBytes ?? relayLimits.defaultMemoryBytes);
  const log = config.log ?? { write() {} };
  const { maxNames, maxNamesPerOwner } = relayLimits;
  const names = new Names({ ttlMs: config.nameTtlMs, random, maxNames, maxNamesPerOwner }, config.names);
  const suspended = new Suspended(memory);
  const tunnels = new Tunnels(names, { memory, suspended, resumeWindowMs });
  const callers = new Callers(suspended, memory);
  const hold = new Hold({ clock, metrics });
  const ways = { clock, tunnels, names, hold, metrics, log };
  const bytes = new BytesIngress(config, ways);
  const { endpoints } = bytes;
  tunnels.onReady = (name) => {
    hold.tryAgain(name);
    hold.tryAgain(queueOf(name, "egress"));
    bytes.tryAgain(name);
  };
  const tokens = new Tokens(config.secret);
  const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname;
  const router = new Router({ domains, routing, publicHost });
  let url = "";
  const urlsOf = (name: string, kind: SessionKind) =>
    tunnelUrls(name, kind, url, {
      ...{ domains, routing, publicUrl, tlsPort: bytes.tlsPort },
      portOf: (tunnel, ofKind) => names.portOf(tunnel, ofKind),
    });
  const grants = new EgressGrants();
  const door = new EgressDoor(config);
  const calls = new Calls({
    ...ways,
    mayReach: (claims, target) => grants.reach(claims, target),
    isHog: (owner) => callers.isHog(owner),
    egress: (stream, head, claims, done) => door.open(stream, head, grants.policyOf(claims), done),
  });
  const reception = new Reception({
    ...ways,
    tokens,
    callers,
    calls: (agent, stream, fields) => calls.open(agent, stream, fields),
    offers: (kind) => bytes.offers(kind),
    ports: endpoints,
    memory,
    random,
    urlsOf,
    resumeWindowMs,
    draining,
  });
  const app = controlPlane({
    tokens,
    names,
    ports: endpoints,
    metrics,
    state: () => state,
    now: () => clock.now(),
    date: () => clock.date(),
    behindProxy: publicUrl !== undefined,
    fault: (error) => log.write({ event: "fault", message: error.message }),
    beforeMetrics: () => {
      metrics.memoryHeldBytes = memory.reservedBytes;
      metrics.flowsOpen = bytes.openFlows;
    },
  });
  const ownHost = new OwnHost(app, reception, clock, new EventLinks({ clock, random }), draining);
  const ownScheme = config.tls === undefined ? "http" : "https";
  const scheme = publicUrl === undefined ? ownScheme : publicUrl.startsWith("https:") ? "https" : "http";
  const ingress = new HttpIngress({ ...ways, router, ownHost, scheme });
  names.inherit(clock.now());
  let listener: Listener;
  try {
    // Before the agents come: what they dial for must be there.
    await bytes.listen(router);
    const { listen, reusePort = false, tls } = config;
    listener = await config.accept({ ...listen, reusePort, ...(tls && { tls }) }, (socket) =>
      ingress.accept(socket),
    );
  } catch (error) {
    bytes.close();
    ingress.close();
    throw error;
  }
  url = `${ownScheme}://${config.listen.host.includes(":") ? `[${config.listen.host}]` : config.listen.host}:${listener.port}`;
  let cancelSweep = () => {};
  const sweep = () => {
    const nowMs = clock.now();
    // A write that failed, or another process that shares the file, must not cost a tunnel that is here its name.
    // While this one drains, its successor has them.
    if (!draining()) for (const { name, owner } of tunnels.owners()) if (!names.keep(name, owner)) break;
    names.inherit(nowMs);
    names.sweep(nowMs);
    cancelSweep = clock.at(clock.now() + relayLimits.sweepMs, sweep);
  };
  sweep();
  const cancelSleep = watchSleep(clock, () => {
    for (const { driver } of sessions()) driver.slept();
  });
  const sessions = (): readonly AgentSession[] => [...tunnels.sessions(), ...callers.sessions()];
  state = "ready";
  log.write({ event: "listening", url });

  const stop = async (graceMs: number): Promise<void> => {
    if (draining()) return;
    state = "draining";
    listener.close();
    names.end();
    for (const { driver } of sessions()) driver.goaway("drain", "going-away", graceMs);
    await Promise.all([ingress.drain(graceMs), bytes.drain(graceMs)]);
    cancelSweep();
    cancelSleep();
    for (const { driver } of sessions()) driver.close("going-away");
    ingress.close();
    bytes.close();
  };
  return { port: listener.port, url, stop, ...(bytes.tlsPort !== undefined && { tlsPort: bytes.tlsPort }) };
}
