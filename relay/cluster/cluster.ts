import type { Bus } from "../../shared/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Hold } from "../../shared/hold.ts";
import type { Link } from "../../shared/link.ts";
import { acceptBusLinks } from "../../shared/links/bus-dial.ts";
import type { Memory } from "../../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import type { Dial } from "../../shared/socket.ts";
import type { Tokens } from "../auth/tokens.ts";
import type { Callers } from "../callers.ts";
import type { RelayLog } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Names } from "../names.ts";
import type { Reception } from "../reception.ts";
import { lifeLimits } from "../session-life.ts";
import { knownLimits } from "../stores/known-names.ts";
import type { WayDeps } from "../tunnel-way.ts";
import type { Tunnels } from "../tunnels.ts";
import type { NodeBoard, NodeFacts } from "./board.ts";
import { type ClusterFigures, clusterFigures } from "./cluster-figures.ts";
import { hints } from "./hints.ts";
import { Hops } from "./hop.ts";
import { clusterTokens, relaySubject, relayToken } from "./key.ts";
import { isLinkHead } from "./link-head.ts";
import { neighbourDial } from "./neighbour-dial.ts";
import { Neighbours } from "./neighbours.ts";
import { nodeOfSession } from "./node-id.ts";
import { Nodes } from "./nodes.ts";
import { PassedLinks, type PassingAdmission, takePassedLink } from "./passed-links.ts";
import { Rebalance } from "./rebalance.ts";
import type { Registry } from "./registry.ts";

/** What makes a relay one of several. */
export interface ClusterConfig {
  /** Of this process (`newNodeId`). */
  readonly id: string;
  readonly version: string;
  /** Where relays agree on names. */
  readonly registry: Registry;
  readonly board: NodeBoard;
  readonly bus: Bus;
  /** The cluster's, a word of subjects. */
  readonly name: string;
  /** Where neighbours and agents reach this relay, once it listens at `port`; absent: over the bus alone. */
  readonly advertise?: ((port: number) => string) | undefined;
}

export interface ClusterDeps {
  readonly clock: Clock;
  readonly dial: Dial;
  readonly secret: Uint8Array;
  readonly memory: Memory;
  readonly hold: Hold;
  /** Of this relay alone. */
  readonly tunnels: WayDeps["tunnels"] & Pick<Tunnels, "size" | "sessions">;
  readonly callers: Callers;
  readonly names: Names;
  readonly isElsewhere: (tunnel: string) => boolean;
  readonly metrics: Metrics;
  readonly log: RelayLog;
  readonly draining: () => boolean;
  readonly reception: () => Pick<Reception, "admit" | "receive">;
  /** The agents of a relay that has died are nobody's. */
  readonly died: (id: string) => void;
  /** One has been heard of: for the first time, or after it was believed dead. */
  readonly lives: (id: string) => void;
}

const clusterLimits = {
  /** Agents that were told to go are elsewhere within it, or their visitors wait. */
  moveWithinMs: 5_000,
  lookMs: 50,
  /** For the last words to neighbours to arrive, at least. */
  lastMs: 500,
} as const;

/** A relay among others: who they are, the ways to them, and what comes from them. */
export class Cluster {
  readonly tokens: Tokens;
  readonly nodes: Nodes;
  readonly neighbours: Neighbours;
  readonly hops: Hops;
  /** It takes nothing more from neighbours. */
  isClosed = false;
  readonly #config: ClusterConfig;
  readonly #deps: ClusterDeps;
  readonly #passed: PassedLinks;
  readonly #rebalance: Rebalance;
  readonly #startedAt: number;
  #url: string | undefined;
  #deafen = () => {};

  constructor(config: ClusterConfig, deps: ClusterDeps) {
    const { clock, secret, memory, hold, log } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#startedAt = Math.round(clock.date());
    this.tokens = clusterTokens(secret);
    this.hops = new Hops(deps);
    this.nodes = new Nodes({
      ...{ clock, board: config.board },
      self: () => this.#self(),
      linkUp: (id) => this.neighbours.isLinked(id),
      fault: (error) => log.write({ event: "fault", message: error.message }),
    });
    this.neighbours = new Neighbours({
      ...{ clock, memory, id: config.id, version: config.version },
      dial: neighbourDial({ id: config.id, clock, dial: deps.dial, bus: config.bus, cluster: config.name }),
      random: Math.random,
      token: () => relayToken(this.tokens, config.id, clock.date()),
      facts: (id) => this.nodes.facts(id),
      missed: (id) => this.nodes.missed(id),
      ready: () => hold.tryAll(),
    });
    this.#passed = new PassedLinks({
      ...{ clock, memory },
      open: (...stream) => this.neighbours.open(...stream),
    });
    this.#rebalance = new Rebalance({
      ...{ clock, nodes: this.nodes, metrics: deps.metrics, graceMs: lifeLimits.retireGraceMs },
      sessions: () => deps.tunnels.sessions(),
    });
    this.nodes.onAlive = (facts) => {
      this.neighbours.meet(facts);
      deps.lives(facts.id);
    };
    this.nodes.onDead = (id) => {
      this.neighbours.leave(id);
      this.#forget(id);
      deps.died(id);
    };
  }

  /** This relay listens at `port`. */
  begin(port: number): void {
    const { id, name, bus, advertise } = this.#config;
    const { clock, reception } = this.#deps;
    this.#url = advertise?.(port);
    this.#deafen = acceptBusLinks(
      { bus, clock, cluster: name },
      {
        id,
        admit: ({ token, session }) => reception().admit({ name: id, kind: "relay", session }, token),
        arrived: (link, admission) => reception().receive(link, admission),
      },
    );
    this.nodes.begin();
    this.#rebalance.begin();
  }

  /** It leaves: agents are not sent here any more. */
  drain(): void {
    this.#rebalance.end();
    this.nodes.changed();
  }

  /**
   * Agents were told to go: their visitors at neighbours go on to come here until each is elsewhere too, and `unmoved`
   * finds none any more. Then neighbours open no more streams; resolves when those that are open have ended, or at `untilMs`.
   */
  async letMove(untilMs: number, unmoved: () => string | undefined): Promise<void> {
    const { clock, callers } = this.#deps;
    const movedMs = Math.min(untilMs, clock.now() + clusterLimits.moveWithinMs);
    await this.#look(movedMs, () => !this.#hasReady || unmoved() === undefined);
    this.isClosed = true;
    const leftMs = Math.max(0, untilMs - clock.now());
    for (const { driver, kind } of callers.sessions())
      if (kind === "relay") driver.sayGoaway("drain", "going-away", leftMs);
    await this.hops.drain(leftMs);
  }

  /**
   * Agents are gone. What neighbours' visitors are to get yet waits here for those who read slowly, or is on its way:
   * resolves when they have it, or at `untilMs`.
   */
  async letArrive(untilMs: number): Promise<void> {
    const { clock, callers } = this.#deps;
    await this.#look(Math.max(untilMs, clock.now() + clusterLimits.lastMs), () => {
      // One that has lost its link comes back here for what is open, or is found dead.
      for (const { kind, driver } of callers.sessions())
        if (kind === "relay" && !driver.session.resting && (driver.hasLink || driver.session.openStreams > 0))
          return false;
      return true;
    });
  }

  /** Resolves when it is so, or at `untilMs`. */
  async #look(untilMs: number, isSo: () => boolean): Promise<void> {
    const { clock } = this.#deps;
    while (clock.now() < untilMs && !isSo())
      await new Promise<void>((go) => void clock.at(clock.now() + clusterLimits.lookMs, go));
  }

  get #hasReady(): boolean {
    return this.nodes.others().some(({ state }) => state === "ready");
  }

  async end(): Promise<void> {
    this.#deafen();
    this.#passed.close();
    this.neighbours.close();
    await this.nodes.end();
  }

  /** For WELCOME: where else the agent may go. */
  get hints(): readonly string[] {
    return hints(this.nodes.others(), Math.random);
  }

  get figures(): ClusterFigures {
    const { nodes, neighbours } = this;
    return clusterFigures({
      ...{ self: this.#self(), nodes, neighbours, registryReachable: nodes.boardReachable },
      names: Math.min(this.#deps.names.size, knownLimits.maxNames),
    });
  }

  /** The neighbour that has the session; undefined: it is ours, or nobody's any more. */
  elsewhere(session: string): string | "unreachable" | undefined {
    const node = nodeOfSession(session);
    if (node === undefined || node === this.#config.id || !this.nodes.isAlive(node)) return undefined;
    return this.neighbours.isUp(node) ? node : "unreachable";
  }

  /** A link for a session that a neighbour has. */
  passOn(link: Link, admission: PassingAdmission, gone: () => void): void {
    this.#deps.metrics.linksPassed++;
    this.#passed.pass(link, admission, gone);
  }

  /** A stream that a neighbour opened. */
  take(stream: Stream, fields: Uint8Array): StreamHandler {
    if (!isLinkHead(fields)) return this.hops.take(stream, fields);
    const taken = takePassedLink(stream, fields, this.#deps.clock);
    if (taken === undefined) return stream.handler;
    this.#deps.reception().receive(taken.link, taken.admission);
    return taken.receiver;
  }

  /** It is dead: nobody comes back for what its visitors have open here. */
  #forget(id: string): void {
    const subject = relaySubject(id);
    for (const { kind, claims, driver } of [...this.#deps.callers.sessions()])
      if (kind === "relay" && claims.subject === subject && !driver.isUp) driver.session.lost("link-lost");
  }

  #self(): NodeFacts {
    const { tunnels, metrics, draining } = this.#deps;
    return {
      id: this.#config.id,
      ...(this.#url !== undefined && { url: this.#url }),
      state: draining() ? "draining" : "ready",
      version: this.#config.version,
      startedAt: this.#startedAt,
      tunnels: tunnels.size,
      // Each neighbour has one here, and is no agent.
      sessions: Math.max(0, metrics.sessions - this.nodes.others().length),
      hopsIn: metrics.hopsIn,
      hopsOut: metrics.hopsOut,
    };
  }
}
