import { Tokens } from "../../relay/auth/tokens.ts";
import { RelayCore } from "../../relay/core.ts";
import { TunnelWay } from "../../relay/tunnel-way.ts";
import type { OpenLink } from "../../shared/dial/greeting.ts";
import { Slot } from "../../shared/dial/slot.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { type Kind, streamKindOf } from "../../shared/kind.ts";
import type { Link } from "../../shared/link.ts";
import { memoryLinks } from "../../shared/links/memory.ts";
import { Memory } from "../../shared/mux/memory.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { Passage } from "../../shared/passage.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { MemoryRegistry, WatchedRegistry } from "../relay/memory-registry.ts";
import { instance } from "../relay/reception-desk.ts";
import { turn } from "../shared/driver-bench.ts";
import { MemoryBoard } from "./memory-board.ts";
import { MemoryNetwork } from "./memory-bus.ts";

const secret = new Uint8Array(32).fill(7);
const never = (): never => {
  throw new Error("nothing is dialled");
};

/** Whole relays in this process that are one cluster: registry, board and bus in memory, and one clock for all. */
export class Cores {
  readonly clock = new VirtualClock();
  readonly registry = new MemoryRegistry();
  readonly board = new MemoryBoard();
  readonly network = new MemoryNetwork(this.clock);
  readonly faults: string[] = [];

  /** A relay with this id, of 8 characters. */
  relay(id: string, { memoryBytes = 2 ** 28 } = {}): RelayCore<{ offers(): boolean }> {
    const core = new RelayCore(
      {
        ...{ clock: this.clock, secret, memoryBytes, domains: ["localhost"], routing: "host" as const },
        random: (bytes) => crypto.getRandomValues(bytes),
        nameTtlMs: 3_600_000,
        log: {
          write: (event) => void (event.event === "fault" && this.faults.push(event.message)),
        },
        openDatagrams: never,
        dial: never,
        resolve: never,
        cluster: {
          ...{ id, version: "1.0.0", name: "test" },
          registry: new WatchedRegistry(this.registry),
          board: this.board.way(),
          bus: this.network.end(),
        },
      },
      () => ({ offers: () => true }),
    );
    core.begin("http://127.0.0.1:1");
    return core;
  }

  /** An agent with one slot at this relay. */
  async agent(
    core: Pick<RelayCore<never>, "reception">,
    serves: Serves,
    { name = "blue", kind = "http" as Kind, index = 0, road = new Road() } = {},
  ): Promise<Slot> {
    const token = await new Tokens(secret).mint({ subject: "me", ttlMs: 3_600_000 }, this.clock.date());
    const openLink: OpenLink = (session, done) => {
      const [near, far] = memoryLinks(this.clock);
      road.links.push(near);
      if (road.isCut) near.destroy();
      core.reception.admit({ name, kind, session }, token).then(
        (admission) => {
          core.reception.receive(far, admission);
          done(near);
        },
        (error: unknown) =>
          done(error instanceof UnderpassError ? error : new UnderpassError("internal-error")),
      );
      return () => near.destroy();
    };
    const slot = new Slot(
      {
        ...{ index, kind, features: [], instance: instance("a"), join: false },
        ...{ version: "0.0.0", clock: this.clock, memory: new Memory(2 ** 30), openLink },
        ...{ backoff: { next: () => 10, succeeded() {} }, isFinal: () => false, doubted() {} },
      },
      { opened: serves, up() {}, suspect() {}, down() {} },
    );
    slot.start();
    return slot;
  }

  /** What a visitor sends on his way from this relay. */
  visit(
    { ways }: Pick<RelayCore<never>, "ways">,
    handler: StreamHandler,
    { name = "blue", kind = "http" as Kind } = {},
  ): Passage {
    const passage = new Passage(ways, new TunnelWay(ways, name, kind, streamKindOf[kind]), handler);
    const refusal = passage.start(new Uint8Array(1));
    if (refusal !== undefined) handler.reset(refusal);
    return passage;
  }

  async until(met: () => boolean, ms = 20_000): Promise<void> {
    for (let passedMs = 0; !met(); passedMs++) {
      if (passedMs === ms) throw new Error(`nothing comes of it: ${this.faults.join("; ")}`);
      await this.pass(1);
    }
  }

  async pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs++) {
      await turn();
      this.clock.advance(1);
    }
  }
}

/** An agent's way to its relay. */
export class Road {
  isCut = false;
  readonly links: Link[] = [];

  cut(): void {
    this.isCut = true;
    for (const link of this.links) link.destroy();
  }
}

/** What an agent makes of a stream. */
export type Serves = (stream: Stream, fields: Uint8Array) => StreamHandler;
