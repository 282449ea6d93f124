import type { Clock } from "../../shared/clock.ts";
import type { NodeFacts } from "./board.ts";
import type { Nodes } from "./nodes.ts";

export const rebalanceLimits = {
  /** More sessions than that times the mean of the ready relays, and so many, are too many. */
  aboveMean: 1.25,
  aboveMeanBy: 8,
  everyMs: 1_000,
  /** Of the sessions, each time; at least one. */
  share: 0.01,
  most: 10,
  /** The relays are the same ones since then. */
  settledMs: 10_000,
  /** The sessions of one agent don't go together. */
  agentMs: 10_000,
  /** As many as were too many were told to go. Where they come back, as no other relay can be reached, that does not go on and on. */
  restMs: 60_000,
} as const;

/** What giving a session away needs of it: an `AgentSession`. */
export interface MovableSession {
  readonly name: string;
  readonly instance: string;
  readonly leaving: boolean;
  readonly saidBye: boolean;
  readonly driver: {
    readonly isUp: boolean;
    readonly session: {
      readonly openStreams: number;
      readonly leaving: boolean;
      readonly saysGoaway: boolean;
    };
    sayGoaway(kind: "drain", code: "going-away", graceMs: number): void;
  };
}

/** How many of `own` sessions are to go now: 0 unless that is far above the mean of all ready relays. */
export function tooMany(own: number, others: readonly NodeFacts[]): number {
  const ready = others.filter(({ state }) => state === "ready");
  if (ready.length === 0) return 0;
  const mean = ready.reduce((sum, { sessions }) => sum + sessions, own) / (ready.length + 1);
  const { aboveMean, aboveMeanBy } = rebalanceLimits;
  return own > aboveMean * mean + aboveMeanBy ? Math.ceil(own - mean) : 0;
}

/** Which of the sessions are told to go: those with the fewest streams, and of each agent one at most. */
export function chosen<S extends MovableSession>(
  staying: readonly S[],
  count: number,
  wasAsked: (agent: string) => boolean,
): S[] {
  const found: S[] = [];
  const agents = new Set<string>();
  const take = (session: S): void => {
    const agent = agentOf(session);
    if (found.length >= count || agents.has(agent) || wasAsked(agent)) return;
    agents.add(agent);
    found.push(session);
  };
  const streamsOf = ({ driver }: S): number => driver.session.openStreams;
  for (const session of staying) if (streamsOf(session) === 0) take(session);
  // All are sorted only where the idle ones were too few.
  if (found.length < count)
    for (const session of staying.toSorted((a, b) => streamsOf(a) - streamsOf(b))) take(session);
  return found;
}

export interface RebalanceOptions {
  readonly clock: Clock;
  readonly nodes: Pick<Nodes, "others" | "boardReachable">;
  /** Those of agents with tunnels here. */
  readonly sessions: () => Iterable<MovableSession>;
  readonly metrics: { rebalanced: number };
  /** What is open on a session that goes gets so long. */
  readonly graceMs: number;
}

/** A relay with far more sessions than the others tells some of their agents, slowly, to go elsewhere. */
export class Rebalance {
  readonly #options: RebalanceOptions;
  /** When an agent was asked last, the longest ago first. */
  readonly #asked = new Map<string, number>();
  #others = "";
  #sameSinceMs = 0;
  /** Of those that were too many when it began. */
  #left = 0;
  #restsUntilMs = 0;
  #cancel = () => {};

  constructor(options: RebalanceOptions) {
    this.#options = options;
  }

  begin(): void {
    const { clock, nodes } = this.#options;
    this.#sameSinceMs = clock.now();
    this.#others = statesOf(nodes.others());
    this.#lookLater();
  }

  /** The relay drains: all its agents go. */
  end(): void {
    this.#cancel();
  }

  #lookLater(): void {
    const { clock } = this.#options;
    this.#cancel = clock.at(clock.now() + rebalanceLimits.everyMs, () => {
      this.#look();
      this.#lookLater();
    });
  }

  #look(): void {
    const { clock, nodes, sessions, graceMs, metrics } = this.#options;
    const { settledMs, agentMs, restMs, share, most } = rebalanceLimits;
    const nowMs = clock.now();
    const others = nodes.others();
    const states = statesOf(others);
    // Without the board there is no registry either, and nobody elsewhere could take the agents in.
    if (states !== this.#others || !nodes.boardReachable) this.#sameSinceMs = nowMs;
    this.#others = states;
    if (nowMs - this.#sameSinceMs < settledMs || nowMs < this.#restsUntilMs) return;
    const staying = [...sessions()].filter(stays);
    const excess = tooMany(staying.length, others);
    if (excess === 0) {
      this.#left = 0;
      return;
    }
    if (this.#left === 0) this.#left = excess;
    for (const [agent, askedMs] of this.#asked) {
      if (nowMs - askedMs < agentMs) break;
      this.#asked.delete(agent);
    }
    const count = Math.min(this.#left, most, Math.max(1, Math.floor(staying.length * share)));
    for (const session of chosen(staying, count, (agent) => this.#asked.has(agent))) {
      this.#asked.set(agentOf(session), nowMs);
      metrics.rebalanced++;
      this.#left--;
      session.driver.sayGoaway("drain", "going-away", graceMs);
    }
    if (this.#left === 0) this.#restsUntilMs = nowMs + restMs;
  }
}

/** On a link, so that it can be told to go, and neither going nor told yet. */
function stays({ leaving, saidBye, driver }: MovableSession): boolean {
  const { session } = driver;
  return driver.isUp && !leaving && !saidBye && !session.leaving && !session.saysGoaway;
}

function agentOf({ name, instance }: MovableSession): string {
  return `${name} ${instance}`;
}

function statesOf(others: readonly NodeFacts[]): string {
  return others.map(({ id, state }) => `${id} ${state}`).join();
}
