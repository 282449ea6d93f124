import { AgentPlace } from "./agent-place.ts";
import { Exchange } from "./exchange.ts";
import { Ghost } from "./ghost.ts";
import { Keeper } from "./keeper.ts";
import { Machine } from "./machine.ts";
import { Network } from "./network.ts";
import type { EventPlan, Plan, When } from "./plan.ts";
import { SeededRandom } from "./random.ts";
import { RelayPlace, type RelayPlaceOptions } from "./relay-place.ts";
import { Rules } from "./rules.ts";
import { Visitors } from "./visitors.ts";
import { Violation, World } from "./world.ts";

/** What a run came to. */
export interface Outcome {
  readonly violation: string | undefined;
  readonly dials: number;
  readonly cuts: number;
  /** Of them: with messages under way. */
  readonly busyCuts: number;
  readonly steps: number;
  readonly virtualMs: number;
  readonly trace: number;
  readonly completed: number;
  readonly failed: number;
  /** How often the relay's process ended and its links stayed: at rest, and with something under way. */
  readonly restEnds: number;
  readonly busyEnds: number;
}

const bounds = {
  /** After the last fault: the longest death of a link, a redial, and what slow readers take. */
  progressMs: 90_000,
  /** Everything is freed by then: a death, the resume window, and a handshake that hangs. */
  freedMs: 130_000,
  /** From an agent's stop to its end. */
  lastMs: 10_000,
  maxSteps: 3_000_000,
  /** A rest is looked for so often, and for so long. */
  restLookMs: 10,
  restWithinMs: 10_000,
  /** No message is under way for so long. */
  lastWordsMs: 300,
} as const;

/** One run of a plan: an agent or more, a relay, a bad network between them, and visitors. */
export class Simulation {
  readonly world = new World();
  readonly network: Network;
  readonly exchanges: readonly Exchange[];
  readonly agents: AgentPlace[] = [];
  relay: RelayPlace;
  readonly #rules: Rules;
  readonly #visitors: Visitors;
  readonly #ghost: Ghost;
  readonly #random: SeededRandom;
  /** What begins after a number of links, in that order. */
  readonly #planned: { readonly when: When; readonly run: () => void }[];
  #machines = 0;
  #restEnds = 0;
  #busyEnds = 0;

  constructor(readonly plan: Plan) {
    const { world } = this;
    this.#random = new SeededRandom(plan.seed, 1);
    this.network = new Network(world, plan, (dials) => this.#dialled(dials));
    this.#ghost = new Ghost(this.network, this.#machine(), plan.resumeWindowMs);
    this.#visitors = new Visitors(world, () => this.relay);
    this.exchanges = plan.exchanges.map(
      (one, id) =>
        new Exchange(
          id,
          one,
          (exchange, party, code) => this.#rules.judge(exchange, party, code),
          (exchange) => this.#visitors.come(exchange),
        ),
    );
    this.#rules = new Rules(world, this.network, plan, this.exchanges);
    this.#planned = [
      ...this.exchanges.map((exchange) => ({
        when: exchange.plan,
        run: () => this.#visitors.come(exchange),
      })),
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
      dials: network.dials,
      cuts: network.cuts,
      busyCuts: network.busyCuts,
      steps: world.steps,
      virtualMs: world.nowMs,
      trace: world.trace,
      completed: this.exchanges.length - failed,
      failed,
      restEnds: this.#restEnds,
      busyEnds: this.#busyEnds,
    };
  }

  /** Until all exchanges are over, which does not take long after the last fault. */
  #live(): void {
    const { world, network } = this;
    let seen = "";
    let lastFaultMs = 0;
    this.#dialled(0);
    while (this.#planned.length > 0 || !this.exchanges.every((exchange) => exchange.finished)) {
      if (!world.turn()) world.fail("nothing is left to happen");
      this.#rules.checkFlights(this.relay, this.agents);
      if (world.steps > bounds.maxSteps) world.fail("too many steps");
      const now = `${network.cuts} ${network.dials} ${this.#planned.length}`;
      if (now !== seen || this.#isStopped) {
        seen = now;
        lastFaultMs = world.nowMs;
      } else if (world.nowMs > Math.max(lastFaultMs, network.outageUntilMs) + bounds.progressMs) {
        world.fail("no progress");
      }
    }
  }

  get #isStopped(): boolean {
    return this.relay.machine.stopped || this.agents.some(({ machine }) => machine.stopped);
  }

  /** All is over: what is left must go, the way the plan says. */
  #end(): void {
    const { world, plan, network, agents } = this;
    this.#rules.checkComplete();
    this.#ghost.machine.kill();
    switch (plan.end) {
      case "bye":
        for (const agent of agents) agent.stop(1_000);
        break;
      case "agent dies":
        for (const agent of agents) agent.machine.kill();
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
    // Those that never came back would dial for ever, and a relay at rest looks at nothing.
    world.at(untilMs, () => {
      this.relay.machine.hear(() => {});
      for (const agent of agents) agent.stop(0);
    });
    // A relay that sleeps stays awake for what it alone remembers.
    while (world.turn(untilMs + bounds.lastMs + (plan.sleeps ? plan.resumeWindowMs : 0)));
    this.#rules.checkFreed(this.relay, agents);
    this.#rules.checkComplete();
  }

  // What the plan tells

  #dialled(dials: number): void {
    const { world, plan } = this;
    const all = dials >= plan.links.length;
    for (let next = this.#planned[0]; next !== undefined; next = this.#planned[0]) {
      if (next.when.afterLinks > dials && !all) return;
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
      case "restart": {
        const old = this.relay;
        old.machine.kill();
        network.relay = undefined;
        world.at(world.nowMs + event.downMs, () => {
          // Another has come first.
          if (this.relay !== old) return;
          this.relay = this.#newRelay();
          this.#visitors.retry();
        });
        break;
      }
      case "end":
        if (event.atRest) this.#endAtRest(world.nowMs + bounds.restWithinMs);
        else this.#endRelay();
        break;
      case "newcomer":
        if (event.olderDies) agent?.machine.kill();
        // What a dead one has said last may still be under way: it would be the newer one.
        world.at(world.nowMs + (event.olderDies ? bounds.lastWordsMs : 0), () => {
          this.#newAgent();
          if (!this.plan.joins) this.#rules.rivals(this.agents);
        });
        break;
      case "drain":
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

  /** As soon as nothing goes on there, if that is before `untilMs`. */
  #endAtRest(untilMs: number): void {
    const { world, relay } = this;
    if (relay.isResting) this.#endRelay();
    else if (world.nowMs < untilMs) world.at(world.nowMs + bounds.restLookMs, () => this.#endAtRest(untilMs));
  }

  /** The platform ends the relay's process, and keeps its links; another begins when something comes. */
  #endRelay(): void {
    const { world, network, relay: old } = this;
    if (!old.mayEnd) return;
    if (old.isResting) this.#restEnds++;
    else this.#busyEnds++;
    const resting = new Set(old.restingSessions);
    const machine = this.#machine(old.machine.date());
    machine.wentOnMs = world.nowMs;
    this.#rules.ended(old.machine);
    network.watch.rehome(old.machine, machine, resting);
    network.rehome(old.machine, machine);
    old.machine.kill();
    const { keeper } = old;
    const place = this.#newRelay({ machine, keeper, begun: () => this.#rules.begun(place, resting) });
    this.relay = place;
  }

  #drain({ graceMs, stops }: EventPlan & { readonly do: "drain" }): void {
    const old = this.relay;
    old.machine.hear(() => {
      this.#rules.drained(graceMs);
      if (stops) old.retire(graceMs);
      else old.drain(graceMs);
    });
    if (!stops) return;
    this.#rules.retired(old.machine);
    this.relay = this.#newRelay();
    this.#visitors.retry();
  }

  // Processes

  #machine(dateMs = 1_800_000_000_000): Machine {
    const number = ++this.#machines;
    const machine = new Machine(this.world, { startMs: 1_000 * number ** 3, dateMs });
    machine.onDeath = () => this.network.bury(machine);
    return machine;
  }

  /** `given`: what another process of it has left. */
  #newRelay(given?: Pick<RelayPlaceOptions, "keeper" | "begun"> & { readonly machine: Machine }): RelayPlace {
    const { machine = this.#machine(), ...kept } = given ?? {};
    const keeper = this.plan.sleeps ? new Keeper() : undefined;
    const place = new RelayPlace(machine, {
      ...{ keeper, ...kept },
      memoryBytes: this.plan.memoryBytes,
      besideBytes: this.plan.besideBytes,
      resumeWindowMs: this.plan.resumeWindowMs,
      random: this.#random,
      ready: () => this.#visitors.retry(),
    });
    this.network.relay = place;
    return place;
  }

  #newAgent(): void {
    const machine = this.#machine();
    const place = new AgentPlace(machine, {
      instance: `instance-${this.agents.length}-of-this-run`,
      joins: this.plan.joins,
      slots: this.plan.slots,
      memoryBytes: this.plan.memoryBytes,
      random: this.#random,
      exchange: (id) => this.exchanges[id],
      openLink: (session, done) => this.network.dial(machine, session, done),
    });
    this.agents.push(place);
    place.start();
  }
}
