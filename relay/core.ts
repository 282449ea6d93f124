import type { Hono } from "hono";
import type { Clock } from "../shared/clock.ts";
import type { OpenDatagrams } from "../shared/datagrams.ts";
import { EgressDoor } from "../shared/egress/door.ts";
import { Hold } from "../shared/hold.ts";
import type { SessionKind } from "../shared/kind.ts";
import { Memory } from "../shared/mux/memory.ts";
import type { PassageDeps } from "../shared/passage.ts";
import type { Resolve } from "../shared/resolve.ts";
import { watchSleep } from "../shared/sleep.ts";
import type { Dial } from "../shared/socket.ts";
import type { PortKeeper } from "./admission.ts";
import type { AgentSession } from "./agent-session.ts";
import { type ControlEnv, controlPlane, type PortRegister } from "./app.ts";
import type { Revocations } from "./auth/revocations.ts";
import { Tokens } from "./auth/tokens.ts";
import { Callers } from "./callers.ts";
import { Cluster, type ClusterConfig } from "./cluster/cluster.ts";
import { CountedRegistry, type RegistryCounts } from "./cluster/counted-registry.ts";
import { EgressGrants } from "./egress-grants.ts";
import { EventLinks } from "./event-links.ts";
import { FarTunnels } from "./far-tunnels.ts";
import type { NameRegister } from "./grant.ts";
import { Calls } from "./ingress/calls.ts";
import type { RelayLog } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { isName, Names } from "./names.ts";
import { Reception } from "./reception.ts";
import { Router, type Routing } from "./router.ts";
import type { NameStore } from "./store.ts";
import { MemoryRevocations } from "./stores/memory-revocations.ts";
import { SharedNames } from "./stores/shared-names.ts";
import { Suspended } from "./suspended.ts";
import { tunnelUrls } from "./tunnel-urls.ts";
import { queueOf, type WayDeps } from "./tunnel-way.ts";
import { Tunnels } from "./tunnels.ts";

/** What a relay is told, however visitors and agents arrive. */
export interface CoreConfig {
  readonly clock: Clock;
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  readonly secret: Uint8Array;
  readonly domains: readonly string[];
  readonly publicUrl?: string | undefined;
  readonly routing: Routing;
  readonly nameTtlMs: number;
  /** Where names are kept; `SharedNames`: with other relays. Absent: in memory. */
  readonly names?: NameStore;
  /** Where it is kept whose tokens are revoked. Absent: in memory. */
  readonly revocations?: Revocations;
  readonly memoryBytes?: number;
  /** How long a session waits for its agent's next link; 60 s where absent. */
  readonly resumeWindowMs?: number;
  readonly log?: RelayLog;
  /** What makes it one of several: then names are in its registry. */
  readonly cluster?: ClusterConfig | undefined;
  /** The runtime's UDP sockets, for udp tunnels and egress. */
  readonly openDatagrams: OpenDatagrams;
  /** For egress, which no token grants by itself. */
  readonly dial: Dial;
  readonly resolve: Resolve;
  /** Whether a public address is this machine's own: egress takes it for loopback. Absent: none is known to be. */
  readonly isOwn?: (address: string, port: number) => boolean;
}

/** What all that visitors arrive by needs of the relay. */
export interface CoreWays extends PassageDeps {
  readonly memory: Memory;
  readonly names: Names;
  /** Where they are shared with other relays. */
  readonly shared: SharedNames | undefined;
  /** What visitors find: this relay's tunnels, or those of all that share their names. */
  readonly tunnels: WayDeps["tunnels"];
  readonly metrics: Metrics;
  readonly log: RelayLog;
}

/** The ports of a relay beside that of HTTP. */
export interface OtherPorts {
  offers(kind: SessionKind): boolean;
  readonly endpoints?: PortKeeper & PortRegister;
  readonly tlsPort?: number | undefined;
  readonly openFlows?: number;
  /** An agent of this tunnel takes streams again. */
  tryAgain?(name: string): void;
  /** More is known of the name, which other relays share. */
  told?(name: string): void;
}

const coreLimits = {
  defaultMemoryBytes: 536_870_912,
  maxNames: 200_000,
  /** So that one token can't take them all. */
  maxNamesPerOwner: 10_000,
  /** Promised to users: a laptop that changes networks is back by then. */
  resumeWindowMs: 60_000,
  /** Lapsed names are looked for this often. */
  sweepMs: 60_000,
} as const;

/** The relay of one process, but for its listeners and how requests are read from them. */
export class RelayCore<Ports extends OtherPorts> {
  /** Its own address, without a slash at the end; agents that come before it is known get none. */
  url = "";
  readonly ways: CoreWays;
  readonly ports: Ports;
  readonly cluster: Cluster | undefined;
  readonly router: Router;
  readonly reception: Reception;
  readonly eventLinks: EventLinks;
  readonly app: Hono<ControlEnv>;
  private state: "starting" | "ready" | "draining" = "starting";
  /** Whose sessions are at this relay. */
  private readonly here: Tunnels;
  private readonly callers: Callers;
  private readonly shared: SharedNames | undefined;
  private readonly revocations: Revocations;
  private cancelSweep = () => {};
  private cancelSleep = () => {};

  constructor(config: CoreConfig, portsFor: (ways: CoreWays) => Ports) {
    const { clock, random, publicUrl, domains, routing } = config;
    const { maxNames, maxNamesPerOwner } = coreLimits;
    const resumeWindowMs = config.resumeWindowMs ?? coreLimits.resumeWindowMs;
    const log = config.log ?? { write() {} };
    const metrics = new Metrics();
    const memory = new Memory(config.memoryBytes ?? coreLimits.defaultMemoryBytes);
    const shared = this.sharedNames(config, log, metrics);
    const options = { ttlMs: config.nameTtlMs, random, maxNames, maxNamesPerOwner };
    const names = new Names(options, shared ?? config.names);
    const suspended = new Suspended(memory);
    const here = new Tunnels(names, {
      ...{ memory, suspended, resumeWindowMs },
      isArriving: (name) => shared?.isArriving(name) === true,
      departed: (name, instance, { bye }) =>
        shared?.depart(name, instance, { bye, keepsPlace: this.draining && !bye }),
    });
    const callers = new Callers(suspended, memory);
    const hold = new Hold({ clock, metrics });
    const cluster =
      config.cluster &&
      new Cluster(config.cluster, {
        ...{ clock, memory, names, hold, metrics, log, secret: config.secret, dial: config.dial },
        ...{ tunnels: here, callers },
        draining: () => this.draining,
        reception: () => this.reception,
        isElsewhere: (name) => shared?.isElsewhere(name) === true,
        died: (id) => shared?.nodeDied(id),
        lives: (id) => shared?.nodeChanged(id),
      });
    const neighbours = cluster?.neighbours;
    const tunnels =
      shared === undefined
        ? here
        : new FarTunnels({
            ...{ here, names: shared, neighbours, clock, metrics },
            isDraining: (relay) => cluster?.nodes.facts(relay)?.state === "draining",
          });
    const ways = { clock, memory, tunnels, names, shared, hold, metrics, log };
    const ports = portsFor(ways);
    const tellWaiting = (name: string) => {
      hold.tryAgain(name);
      hold.tryAgain(queueOf(name, "egress"));
      ports.tryAgain?.(name);
    };
    here.onReady = tellWaiting;
    if (shared !== undefined)
      shared.watcher = {
        changed: (name) => {
          tellWaiting(name);
          ports.told?.(name);
        },
        fenced: (name, entry) => this.reception.fenced(name, entry),
        here: (name) => here.sessionsOf(name).filter(({ leaving }) => !leaving),
      };
    const revocations: Revocations = config.revocations ?? new MemoryRevocations();
    const tokens = new Tokens(config.secret, revocations);
    const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname;
    const grants = new EgressGrants();
    const door = new EgressDoor(config);
    const calls = new Calls({
      ...ways,
      mayReach: (claims, target) => grants.reach(claims, target),
      isHog: (owner) => callers.isHog(owner),
      egress: (stream, head, claims, done) => door.open(stream, head, grants.policyOf(claims), done),
    });
    this.ways = ways;
    this.here = here;
    this.shared = shared;
    this.ports = ports;
    this.cluster = cluster;
    this.callers = callers;
    this.revocations = revocations;
    revocations.watch?.(({ owner, untilMs }) => this.reception.revoked(owner, untilMs));
    const ownHost = config.cluster?.advertise && new URL(config.cluster.advertise(0)).hostname;
    this.router = new Router({ domains, routing, publicHost, ownHost });
    this.eventLinks = new EventLinks({ clock, random, memory });
    this.reception = new Reception({
      ...ways,
      tunnels: here,
      tokens,
      callers,
      relayTokens: cluster?.tokens,
      ...(cluster !== undefined && {
        process: config.cluster?.id,
        takesNeighbours: () => !cluster.isClosed,
        relays: () => cluster.hints,
        elsewhere: (session: string) => cluster.elsewhere(session),
        passOn: (...passed: Parameters<Cluster["passOn"]>) => cluster.passOn(...passed),
      }),
      calls: (agent, stream, fields) =>
        agent.kind === "relay" && cluster !== undefined
          ? cluster.take(stream, fields)
          : calls.open(agent, stream, fields),
      offers: (kind) => ports.offers(kind),
      ports: ports.endpoints,
      shared,
      random,
      urlsOf: (name, kind) =>
        tunnelUrls(name, kind, this.url, {
          ...{ domains, routing, publicUrl, tlsPort: ports.tlsPort },
          portOf: (tunnel, ofKind) => names.portOf(tunnel, ofKind),
        }),
      resumeWindowMs,
      draining: () => this.draining,
    });
    this.app = controlPlane({
      tokens,
      names: shared === undefined ? names : sharedRegister(names, shared),
      ports: ports.endpoints,
      metrics,
      ...(cluster !== undefined && { cluster: () => cluster.figures }),
      revoke: (owner) => this.revoke(owner, clock.date()),
      state: () => this.state,
      now: () => clock.now(),
      date: () => clock.date(),
      behindProxy: publicUrl !== undefined,
      fault: (error) => log.write({ event: "fault", message: error.message }),
      beforeMetrics: () => {
        metrics.memoryHeldBytes = memory.reservedBytes;
        metrics.flowsOpen = ports.openFlows ?? 0;
      },
    });
    names.inherit(clock.now());
  }

  get draining(): boolean {
    return this.state === "draining";
  }

  /** It listens, at `url`. */
  begin(url: string): void {
    this.url = url;
    const { clock, log } = this.ways;
    this.sweep();
    this.cancelSleep = watchSleep(clock, () => {
      for (const { driver } of this.sessions()) driver.slept();
    });
    this.state = "ready";
    this.cluster?.begin(Number(new URL(url).port));
    log.write({ event: "listening", url });
  }

  /**
   * Tells agents at once that the relay is leaving, and keeps them until `visitors` resolves: then none needs them any
   * more, or the grace is over.
   */
  async drain(graceMs: number, visitors: () => Promise<unknown>): Promise<void> {
    this.state = "draining";
    this.ways.names.end();
    this.cluster?.drain();
    // Where visitors have no way from relay to relay, others are to await the agents from now on.
    if (this.cluster === undefined) this.shared?.leave();
    for (const { driver, kind } of this.sessions())
      if (kind !== "relay") driver.sayGoaway("drain", "going-away", graceMs);
    const untilMs = this.ways.clock.now() + graceMs;
    await Promise.all([visitors(), this.cluster?.letMove(untilMs, () => this.unmoved())]);
    this.cancelSweep();
    this.cancelSleep();
    for (const { driver, kind } of this.sessions()) if (kind !== "relay") driver.close("going-away");
    if (this.cluster === undefined) return;
    await this.cluster.letArrive(untilMs);
    for (const { driver } of this.callers.sessions()) driver.close("going-away");
    await this.shared?.close();
    await this.cluster.end();
  }

  private async revoke(owner: string, untilMs: number): Promise<void> {
    await this.revocations.revoke(owner, untilMs);
    this.reception.revoked(owner, untilMs);
  }

  private sweep(): void {
    const { clock, names, log } = this.ways;
    const nowMs = clock.now();
    // A write that failed, or another process that shares the file, must not cost a tunnel that is here its name.
    // While this one drains, its successor has them.
    if (!this.draining)
      for (const { name, owner } of this.here.owners()) {
        if (!names.keep(name, owner)) break;
        // It lapsed while nothing could be written, and somebody else has it since.
        if ((names.lookup(name)?.owner ?? owner) !== owner) this.reception.lost(name, owner);
      }
    names.inherit(nowMs);
    names.sweep(nowMs);
    this.reception
      .lookForRevoked(this.revocations)
      .catch((error) => log.write({ event: "fault", message: `Revocations: ${error}` }));
    this.cancelSweep = clock.at(clock.now() + coreLimits.sweepMs, () => this.sweep());
  }

  /** A tunnel that neighbours' visitors reach by this relay alone. */
  private unmoved(): string | undefined {
    for (const { name } of this.here.owners()) if (this.shared?.isElsewhere(name) === false) return name;
    return undefined;
  }

  private sharedNames(
    { cluster, names, clock, nameTtlMs }: CoreConfig,
    log: RelayLog,
    counts: RegistryCounts,
  ): SharedNames | undefined {
    if (cluster === undefined) return names instanceof SharedNames ? names : undefined;
    return new SharedNames({
      registry: new CountedRegistry(cluster.registry, counts),
      ...{ clock, process: cluster.id, ttlMs: nameTtlMs },
      isAlive: (id) => this.cluster?.nodes.isAlive(id) !== false,
      fault: (error) => log.write({ event: "fault", message: `The registry: ${error.message}` }),
    });
  }

  private sessions(): readonly AgentSession[] {
    return [...this.here.sessions(), ...this.callers.sessions()];
  }
}

/** Gives names away among several relays. */
function sharedRegister(names: Names, shared: SharedNames): NameRegister<Promise<string>> {
  return {
    async claim(asked, ...rest) {
      if (asked !== undefined && isName(asked)) await shared.load(asked);
      const name = names.claim(asked, ...rest);
      await shared.commit(name);
      return name;
    },
  };
}
