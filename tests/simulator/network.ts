import { UnderpassError } from "../../shared/errors.ts";
import type { Link } from "../../shared/link.ts";
import type { Machine } from "./machine.ts";
import type { LinkPlan, Plan } from "./plan.ts";
import { SeededRandom } from "./random.ts";
import type { RelayPlace } from "./relay-place.ts";
import { Watch } from "./watch.ts";
import { Wire } from "./wire.ts";
import type { SideName } from "./wire-end.ts";
import type { Dialler } from "./wire-watch.ts";
import type { World } from "./world.ts";

const goodLink: LinkPlan = {
  openMs: 1,
  latencyMs: 1,
  jitterMs: 0,
  bytesPerMs: 0,
  bufferBytes: 65_536,
};

const networkLimits = {
  /** A dial that nobody answers. */
  dialTimeoutMs: 10_000,
  refusedMs: 2,
} as const;

/** What lies between the agents and the relay: each dial gets the next link of the plan. */
export class Network {
  /** Absent: nobody listens. */
  relay: RelayPlace | undefined;
  dials = 0;
  cuts = 0;
  busyCuts = 0;
  outageUntilMs = 0;
  readonly #wires = new Set<Wire>();
  readonly watch: Watch;

  constructor(
    readonly world: World,
    private readonly plan: Plan,
    private readonly dialled: (dials: number) => void,
  ) {
    this.watch = new Watch(world);
  }

  dial(
    machine: Machine,
    session: string | undefined,
    done: (result: Link | UnderpassError) => void,
  ): () => void {
    const { world } = this;
    const place = this.dials++;
    const plan = this.plan.links[place] ?? goodLink;
    let wire: Wire | undefined;
    let waiting = true;
    const tell = (result: Link | UnderpassError): void => {
      if (!waiting) return;
      waiting = false;
      done(result);
    };
    world.at(world.nowMs, () => this.dialled(place + 1));
    const out = world.nowMs < this.outageUntilMs;
    if (plan.fails !== undefined || out || this.relay === undefined) {
      const afterMs =
        plan.fails === "unanswered" || out ? networkLimits.dialTimeoutMs : networkLimits.refusedMs;
      world.at(world.nowMs + afterMs, () =>
        machine.hear(() => tell(new UnderpassError("relay-unreachable"))),
      );
    } else {
      world.at(world.nowMs + plan.openMs, () => {
        const { relay } = this;
        if (!waiting || machine.dead) return;
        if (relay === undefined || world.nowMs < this.outageUntilMs) {
          world.at(world.nowMs + networkLimits.dialTimeoutMs, () =>
            machine.hear(() => tell(new UnderpassError("relay-unreachable"))),
          );
          return;
        }
        const random = new SeededRandom(this.plan.seed, 1_000 + place);
        const opened = this.connect(plan, random, { agent: machine, relay: relay.machine });
        wire = opened;
        relay.machine.hear(() => relay.receive(opened.ends.relay, session));
        world.at(world.nowMs + plan.latencyMs, () =>
          machine.hear(() => {
            if (opened.ends.agent.state === "open") tell(opened.ends.agent);
            else tell(new UnderpassError("relay-unreachable"));
          }),
        );
      });
    }
    return () => {
      if (!waiting) return;
      waiting = false;
      wire?.ends.agent.destroy();
    };
  }

  /** A link between two processes. */
  connect(
    plan: LinkPlan,
    random: SeededRandom,
    machines: Readonly<Record<SideName, Machine>>,
    dialler: Dialler = "agent",
  ): Wire {
    const wire = new Wire(this.world, plan, random, machines);
    this.#wires.add(wire);
    wire.onOver = () => this.#wires.delete(wire);
    wire.onCut = (flying) => {
      this.cuts++;
      if (flying) this.busyCuts++;
    };
    wire.watcher = this.watch.wire(wire, dialler);
    return wire;
  }

  /** Ends of links that nobody has closed, in processes that live. */
  get openEnds(): number {
    let open = 0;
    for (const { ends } of this.#wires)
      for (const { state, machine } of [ends.agent, ends.relay])
        if (state !== "closed" && !machine.dead) open++;
    return open;
  }

  /** A process has died, and its sockets with it. */
  bury(machine: Machine): void {
    for (const wire of [...this.#wires])
      for (const side of ["agent", "relay"] as const)
        if (wire.ends[side].machine === machine) wire.abandoned(side);
  }

  /** The process of a relay is about to end, and another gets its links, but those that are closing. */
  rehome(from: Machine, to: Machine): void {
    for (const { ends } of this.#wires)
      if (ends.relay.machine === from && ends.relay.state === "open") ends.relay.machine = to;
  }

  /** All links fall silent, and no dial succeeds, for `ms`. */
  outage(ms: number): void {
    this.outageUntilMs = Math.max(this.outageUntilMs, this.world.nowMs + ms);
    for (const wire of this.#wires) wire.silence();
  }
}
