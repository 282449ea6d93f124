import type { Code } from "../../shared/errors.ts";
import { limits } from "../../shared/mux/limits.ts";
import type { Session } from "../../shared/mux/session.ts";
import type { AgentPlace } from "./agent-place.ts";
import type { Exchange } from "./exchange.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import type { Party } from "./party.ts";
import type { Plan } from "./plan.ts";
import type { RelayPlace } from "./relay-place.ts";
import type { World } from "./world.ts";

const bounds = {
  /** From WELCOME of a fresh session to the end of the old one's streams. */
  freshMs: 500,
  supersededGraceMs: 30_000,
  /** From the end of a relay's process in mid-stream to the agent's learning it, by its next ping (2 s), on a link that carries. */
  toldMs: 10_000,
} as const;

/** What must hold whatever happens to links and processes, beside what the parties and the watch look at themselves. */
export class Rules {
  /** Agents of which one has taken over from the others, and since when; who comes last is not said. */
  readonly #rivals = new Map<Machine, { readonly agent: AgentPlace; readonly sinceMs: number }>();
  #drain: { readonly atMs: number; readonly graceMs: number } | undefined;
  /** Relays that have a successor: what they hold can't be resumed. */
  readonly #retired = new Set<Machine>();
  /** Relays' processes that ended while their links stayed. */
  readonly #ended = new Set<Machine>();
  /** The largest flight budget that each session had. */
  readonly #budgets = new WeakMap<Session, number>();

  constructor(
    private readonly world: World,
    private readonly network: Network,
    private readonly plan: Plan,
    private readonly exchanges: readonly Exchange[],
  ) {
    network.watch.onFresh = (gone) => this.#checkFreed(gone);
  }

  // What has happened, and excuses some failures

  rivals(agents: readonly AgentPlace[]): void {
    for (const agent of agents) this.#rivals.set(agent.machine, { agent, sinceMs: this.world.nowMs });
  }

  drained(graceMs: number): void {
    this.#drain = { atMs: this.world.nowMs, graceMs };
  }

  retired(relay: Machine): void {
    this.#retired.add(relay);
  }

  /** The platform is about to end a relay's process: what is open there is gone, of which its agents hear. */
  ended(process: Machine): void {
    const { world, network } = this;
    this.#ended.add(process);
    for (const { id, relay, agent } of this.exchanges) {
      const wire = network.watch.sessionOf(id)?.wire;
      if (relay?.place.machine !== process || wire === undefined || agent === undefined || agent.over)
        continue;
      world.at(world.nowMs + bounds.toldMs, () => {
        const ends = [wire.ends.agent, wire.ends.relay];
        const runs = ends.every(({ machine: { dead, stopped, wentOnMs } }) => {
          return !dead && !stopped && wentOnMs <= world.nowMs - bounds.toldMs;
        });
        if (!agent.over && runs && wire.carries)
          world.fail(`exchange ${id} goes on at an agent whose relay has ended`);
      });
    }
  }

  /** A relay's process goes on where another has ended, when something came: with what was at rest, and nothing else. */
  begun({ tunnels }: RelayPlace, resting: ReadonlySet<string>): void {
    const here = new Set([...tunnels.sessions()].map(({ id }) => id));
    for (const id of here)
      if (!resting.has(id)) this.world.fail("a session goes on that was not at rest when its relay ended");
    // Without memory for all of them, those without links go.
    for (const id of this.plan.tight ? [] : resting)
      if (!here.has(id)) this.world.fail("a session at rest is lost with its relay's process");
  }

  /** A party heard a RESET: the other side's own, or for a reason that is named here. */
  judge(exchange: Exchange, party: Party, code: Code): void {
    const { peer, place } = party;
    if (code !== "link-lost" && peer?.ownReset === code) return;
    exchange.failure = code;
    if (!this.#isExcused(exchange, code))
      this.world.fail(`exchange ${exchange.id} at the ${place.side} was reset with ${code}`);
  }

  #isExcused({ id, relay }: Exchange, code: Code): boolean {
    const since = (atMs: number | undefined, ms: number) =>
      atMs !== undefined && this.world.nowMs >= atMs + ms - 1;
    // The relay was restarted, or stopped and has a successor.
    const life = relay?.place.machine;
    const hasEnded = life !== undefined && this.#ended.has(life);
    if (hasEnded && (code === "session-gone" || code === "link-lost")) return true;
    if (!hasEnded && (life?.dead === true || (life !== undefined && this.#retired.has(life)))) return true;
    const session = this.network.watch.sessionOf(id);
    if (session === undefined) return false;
    if (session.leaving.relay && since(this.#drain?.atMs, this.#drain?.graceMs ?? 0)) return true;
    if (session.agent.dead) return true;
    const rival = this.#rivals.get(session.agent);
    // It need not have been told: perhaps it has no link.
    const isLoser = code === "superseded" || session.leaving.relay || rival?.agent.ended !== undefined;
    if (isLoser && since(rival?.sinceMs, bounds.supersededGraceMs)) return true;
    // The other side's window may have passed first: the agent then begins afresh, and the relay is told.
    for (const side of ["agent", "relay"] as const)
      if (since(session.heardMs[side], this.plan.resumeWindowMs)) return true;
    return this.plan.tight;
  }

  /** Streams of a session that is gone are reset at once, so that no visitor or origin is left hanging. */
  #checkFreed(exchanges: readonly number[]): void {
    const { world } = this;
    world.at(world.nowMs + bounds.freshMs, () => {
      for (const id of exchanges) {
        const agent = this.exchanges[id]?.agent;
        if (agent === undefined || agent.over) continue;
        const { machine } = agent.place;
        if (machine.dead || machine.stopped || machine.wentOnMs > world.nowMs - bounds.freshMs) continue;
        world.fail(`exchange ${id} goes on at an agent that knows that its session is gone`);
      }
    });
  }

  /** What is unacknowledged is held to about the budget, and the message that filled it. */
  checkFlights(relay: RelayPlace, agents: readonly AgentPlace[]): void {
    for (const agent of agents)
      for (const slot of agent.slots) this.#checkFlight(slot.session?.driver.session);
    for (const { driver } of relay.tunnels.sessions()) this.#checkFlight(driver.session);
  }

  #checkFlight(session: Session | undefined): void {
    if (session === undefined) return;
    const { unacknowledgedBytes, ledger } = session;
    // A budget that shrinks does not call back what has left; and it may rise and fall within a turn, unseen.
    const budget = Math.max(ledger.flight.budgetBytes, this.#budgets.get(session) ?? 0);
    this.#budgets.set(session, budget);
    if (unacknowledgedBytes < 0) this.world.fail("less than nothing is unacknowledged");
    if (unacknowledgedBytes > 2 * budget + limits.maxMessageBytes)
      this.world.fail(`${unacknowledgedBytes} bytes are unacknowledged, and the budget is ${budget}`);
  }

  /** All that was said was heard, unless somebody reset the exchange or it failed for a good reason. */
  checkComplete(): void {
    for (const exchange of this.exchanges) this.#checkExchange(exchange);
  }

  #checkExchange({ id, relay, agent, failure }: Exchange): void {
    if (failure !== undefined || relay?.place.machine.dead || agent?.place.machine.dead) return;
    const cancelled = [relay, agent].some(
      (party) => party?.ownReset !== undefined && party.ownReset !== "no-error",
    );
    if (cancelled) return;
    // Nobody is told when what it left behind is lost with its session.
    if (agent === undefined && relay?.ownReset === "no-error") return;
    if (agent === undefined || relay === undefined)
      return this.world.fail(`exchange ${id} never reached an agent`);
    for (const party of [relay, agent])
      if (party.ownReset === undefined && !party.heardAll)
        this.world.fail(`exchange ${id}: the ${party.place.side} has not heard all`);
  }

  /** Nothing is left of what was. */
  checkFreed(relay: RelayPlace, agents: readonly AgentPlace[]): void {
    const { world, network } = this;
    for (const { memory, machine, side } of [relay, ...agents]) {
      if (machine.dead) continue;
      if (memory.reservedBytes !== 0) world.fail(`the ${side} still reserves ${memory.reservedBytes} bytes`);
      if (memory.held.now !== 0) world.fail(`the ${side} still counts ${memory.held.now} bytes as held`);
      if (machine.timers !== 0) world.fail(`the ${side} still has ${machine.timers} timers`);
    }
    for (const agent of agents) {
      if (agent.machine.dead) continue;
      if (agent.openStreams !== 0) world.fail("an agent still has streams");
      if (!agent.stopped) world.fail("an agent does not stop");
    }
    if (!relay.machine.dead && [...relay.tunnels.sessions()].length > 0)
      world.fail("the relay still has sessions");
    if (network.openEnds > 0) world.fail(`${network.openEnds} ends of links are still open`);
  }
}
