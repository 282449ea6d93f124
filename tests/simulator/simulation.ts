import type { Code } from "../../shared/errors.ts";
import { limits } from "../../shared/mux/limits.ts";
import type { Session } from "../../shared/mux/session.ts";
import { AgentPlace } from "./agent-place.ts";
import { Exchange } from "./exchange.ts";
import { Ghost } from "./ghost.ts";
import { Machine } from "./machine.ts";
import { Network } from "./network.ts";
import type { Party, Place } from "./party.ts";
import type { EventPlan, Plan, When } from "./plan.ts";
import { SeededRandom } from "./random.ts";
import { RelayPlace } from "./relay-place.ts";
import { Violation, World } from "./world.ts";

/** What a run came to. */
export interface Outcome {
  readonly violation: string | undefined;
  readonly cuts: number;
  /** Of them: with messages under way and a stream open. */
  readonly busyCuts: number;
  readonly steps: number;
  readonly virtualMs: number;
  readonly trace: number;
  readonly completed: number;
  readonly failed: number;
}

const bounds = {
  /** After the last fault: the longest death of a link, a redial, and what slow readers take. */
  progressMs: 200_000,
  /** Everything is freed by then: a death, the resume window, and a handshake that hangs. */
  freedMs: 130_000,
  maxSteps: 3_000_000,
  resumeWindowMs: 60_000,
  supersededGraceMs: 30_000,
} as const;

/** One run of a plan: an agent or more, a relay, a bad network between them, and visitors. */
export class Simulation {
  readonly world = new World();
  readonly network: Network;
  agents: AgentPlace[] = [];
  relay: RelayPlace;
  readonly exchanges: Exchange[];
  /** Exchanges that no agent takes now, first come first served. */
  #waiting: Exchange[] = [];
  #planned: { readonly when: When; readonly run: () => void }[];
  readonly #randoms: SeededRandom;
  #machines = 0;
  #ghost: Ghost;
  /** When they happened last. */
  #restartedMs: number | undefined;
  #supersededMs: number | undefined;
  #drainedMs: number | undefined;
  #drainGraceMs = 0;
  #died = false;
  /** Relays that have a successor: what they hold can't be resumed. */
  readonly #retired = new Set<Place>();
  /** The largest flight budget that each session had. */
  readonly #budgets = new WeakMap<Session, number>();
  #retryScheduled = false;

  constructor(readonly plan: Plan) {
    const { world } = this;
    this.#randoms = new SeededRandom(plan.seed, 1);
    this.network = new Network(world, plan, (dials) => this.#dialled(dials));
    this.#ghost = new Ghost(this.network, this.#machine());
    const judge = (exchange: Exchange, party: Party, code: Code) => this.#judge(exchange, party, code);
    const again = (exchange: Exchange) => this.#wait(exchange);
    this.exchanges = plan.exchanges.map((one, id) => new Exchange(id, one, judge, again));
    this.#planned = [
      ...this.exchanges.map((exchange) => ({ when: exchange.plan, run: () => this.#wait(exchange) })),
      ...plan.events.map((event) => ({ when: event, run: () => this.#event(event) })),
    ].sort((a, b) => a.when.afterLinks - b.when.afterLinks);
    this.relay = this.#newRelay();
    this.#newAgent();
  }

  run(): Outcome {
    let violation: string | undefined;
    try {
      this.#live();
      this.#end();
    } catch (error) {
      violation = error instanceof Violation ? error.message : `it threw: ${(error as Error).stack}`;
    }
    const { world, network } = this;
    const failed = this.exchanges.filter((exchange) => exchange.failure !== undefined).length;
    return {
      violation,
      cuts: network.cuts,
      busyCuts: network.busyCuts,
      steps: world.steps,
      virtualMs: world.nowMs,
      trace: world.trace,
      completed: this.exchanges.length - failed,
      failed,
    };
  }

  /** Until all exchanges are over. */
  #live(): void {
    const { world, network } = this;
    let lastFaultMs = 0;
    let faults = -1;
    this.#dialled(0);
    while (this.#planned.length > 0 || !this.exchanges.every((exchange) => exchange.finished)) {
      if (!world.turn()) this.world.fail("nothing is left to happen");
      this.#checkFlights();
      if (world.steps > bounds.maxSteps) this.world.fail("too many steps");
      const seen = network.cuts + network.dials * 1_000 + this.#planned.length * 1e6;
      if (seen !== faults) {
        faults = seen;
        lastFaultMs = world.nowMs;
      } else if (world.nowMs > Math.max(lastFaultMs, network.outageUntilMs) + bounds.progressMs) {
        this.world.fail("no progress");
      }
    }
  }

  /** All is over: what is left must go, the way the plan says. */
  #end(): void {
    const { world, plan, network } = this;
    for (const exchange of this.exchanges) this.#checkComplete(exchange);
    switch (plan.end) {
      case "bye":
        for (const agent of this.agents) agent.stop(1_000);
        break;
      case "agent dies":
        for (const agent of this.agents) agent.machine.kill();
        break;
      case "relay dies":
        this.relay.machine.kill();
        network.relay = undefined;
        break;
      case "never back":
        network.outage(Number.POSITIVE_INFINITY);
    }
    const untilMs = world.nowMs + bounds.freedMs;
    while (world.turn(untilMs));
    // Those that never came back would dial for ever.
    world.at(untilMs, () => {
      for (const agent of this.agents) agent.stop(0);
    });
    while (world.turn(untilMs + 10_000));
    for (const place of [this.relay, ...this.agents]) {
      if (place.machine.dead) continue;
      const { memory, machine, side } = place;
      if (memory.reservedBytes !== 0)
        this.world.fail(`the ${side} still reserves ${memory.reservedBytes} bytes`);
      if (machine.timers !== 0) this.world.fail(`the ${side} still has ${machine.timers} timers`);
      if (place instanceof AgentPlace && place.openStreams !== 0)
        this.world.fail("an agent still has streams");
      if (place instanceof AgentPlace && !place.stopped) this.world.fail("an agent does not stop");
      if (place instanceof RelayPlace && [...place.tunnels.sessions()].length > 0)
        this.world.fail("the relay still has sessions");
    }
    if (network.openEnds > 0) world.fail(`${network.openEnds} ends of links are still open`);
    for (const exchange of this.exchanges) this.#checkComplete(exchange);
  }

  /** What is unacknowledged is held to the budget, and the message that filled it. */
  #checkFlights(): void {
    for (const agent of this.agents)
      for (const slot of agent.slots) this.#checkFlight(slot.session?.driver.session);
    for (const { driver } of this.relay.tunnels.sessions()) this.#checkFlight(driver.session);
  }

  #checkFlight(session: Session | undefined): void {
    if (session === undefined) return;
    const { unacknowledgedBytes, flightBudgetBytes } = session;
    // A budget that shrinks does not call back what has left.
    const budget = Math.max(flightBudgetBytes, this.#budgets.get(session) ?? 0);
    this.#budgets.set(session, budget);
    if (unacknowledgedBytes > budget + limits.maxMessageBytes)
      this.world.fail(`${unacknowledgedBytes} bytes are unacknowledged, and the budget is ${budget}`);
  }

  #checkComplete(exchange: Exchange): void {
    const { id, relay, agent, failure } = exchange;
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

  /** A party heard a RESET: the other side's own, or for a reason that is named here. */
  #judge(exchange: Exchange, party: Party, code: Code): void {
    const { peer, place } = party;
    if (code !== "link-lost" && peer?.ownReset === code) return;
    exchange.failure = code;
    const nowMs = this.world.nowMs;
    const since = (atMs: number | undefined, ms: number) => atMs !== undefined && nowMs >= atMs + ms - 1;
    if (this.#restartedMs !== undefined && exchange.openedMs <= this.#restartedMs && place.side === "agent")
      return;
    if (peer?.place.machine.dead || this.#died) return;
    if (exchange.relayLife !== undefined && this.#retired.has(exchange.relayLife)) return;
    if (since(this.#supersededMs, bounds.supersededGraceMs)) return;
    if (since(this.#drainedMs, this.#drainGraceMs)) return;
    // The other side's window may have passed first: the agent then begins afresh, and the relay is told.
    const { watch } = this.network;
    for (const side of ["agent", "relay"] as const)
      if (since(watch.heardMs(exchange.id, side), bounds.resumeWindowMs)) return;
    this.world.fail(`exchange ${exchange.id} at the ${place.side} was reset with ${code}`);
  }

  // What the plan tells

  #dialled(dials: number): void {
    const { world, plan } = this;
    const all = dials >= plan.links.length;
    while (this.#planned.length > 0) {
      const next = this.#planned[0];
      if (next === undefined || (next.when.afterLinks > dials && !all)) return;
      this.#planned.shift();
      world.at(world.nowMs + next.when.delayMs, next.run);
    }
  }

  #event(event: EventPlan): void {
    const { network, world } = this;
    const agent = this.agents.at(-1);
    switch (event.do) {
      case "stop":
      case "jump": {
        const machine = event.side === "relay" ? this.relay.machine : agent?.machine;
        if (event.do === "jump") machine?.jump(event.ms);
        else machine?.stop(event.ms, event);
        break;
      }
      case "restart":
        this.#restartedMs = world.nowMs;
        this.relay.machine.kill();
        network.relay = undefined;
        world.at(world.nowMs + event.downMs, () => {
          this.relay = this.#newRelay();
          this.#retry();
        });
        break;
      case "takeover":
        if (event.olderDies) {
          this.#died = true;
          agent?.machine.kill();
        }
        this.#supersededMs = world.nowMs;
        this.#newAgent();
        break;
      case "drain":
        this.#drainedMs = world.nowMs;
        this.#drainGraceMs = event.graceMs;
        this.#drain(event);
        break;
      case "renew":
        agent?.machine.hear(() => agent.renew());
        break;
      case "outage":
        network.outage(event.ms);
        break;
      case "stale":
        this.#ghost.come(event);
    }
  }

  #drain({ graceMs, stops }: EventPlan & { readonly do: "drain" }): void {
    const old = this.relay;
    if (!stops) return old.machine.hear(() => old.drain(graceMs));
    old.machine.hear(() => old.retire(graceMs));
    this.#retired.add(old);
    this.relay = this.#newRelay();
    this.#retry();
  }

  // Visitors

  #wait(exchange: Exchange): void {
    exchange.state = "waiting";
    this.#waiting.push(exchange);
    this.#retry();
  }

  /** Tries those that wait, outside of whatever told that there may be an agent. */
  #retry(): void {
    if (this.#retryScheduled) return;
    this.#retryScheduled = true;
    this.world.at(this.world.nowMs, () => {
      this.#retryScheduled = false;
      this.relay.machine.hear(() => this.#openAll());
    });
  }

  #openAll(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    while (waiting.length > 0) {
      const [first] = waiting;
      if (first === undefined || !this.relay.open(first)) break;
      waiting.shift();
    }
    this.#waiting.unshift(...waiting);
  }

  // Processes

  #machine(): Machine {
    const number = ++this.#machines;
    const machine = new Machine(this.world, { startMs: 1_000 * number ** 3, dateMs: 1_800_000_000_000 });
    machine.onDeath = () => this.network.bury(machine);
    return machine;
  }

  #newRelay(): RelayPlace {
    const place = new RelayPlace(this.#machine(), {
      memoryBytes: this.plan.memoryBytes,
      random: this.#randoms,
      ready: () => this.#retry(),
    });
    this.network.relay = place;
    return place;
  }

  #newAgent(): void {
    const machine = this.#machine();
    const number = this.agents.length;
    const place: AgentPlace = new AgentPlace(machine, {
      instance: `instance-${number}-of-this-run`,
      slots: this.plan.slots,
      memoryBytes: this.plan.memoryBytes,
      random: this.#randoms,
      exchange: (id) => this.exchanges[id],
      openLink: (session, done) => this.network.dial(machine, session, done),
    });
    this.agents.push(place);
    place.start();
  }
}
