import type { Machine } from "./machine.ts";
import type { CutPlan, LinkPlan } from "./plan.ts";
import type { SeededRandom } from "./random.ts";
import { type Carrier, type Item, type SideName, WireEnd, type WireWatcher } from "./wire-end.ts";
import type { World } from "./world.ts";

const wireLimits = {
  /** A large message that comes slowly shows life in so many pieces at most, and not more often than this. */
  maxPieces: 64,
  pieceMs: 20,
  /** A link whose time has come waits so long for a message to cut. */
  cutWithinMs: 3_000,
} as const;

/** What goes one way. */
interface Way {
  /** Bytes handed over since the beginning. */
  bytes: number;
  freeAtMs: number;
  arrivesMs: number;
  /** Nothing that is handed over from now on arrives. */
  dead: boolean;
  /** What is under way is lost too. */
  lost: boolean;
  /** Items under way. */
  flying: number;
}

/**
 * One link over a bad network: it delays, queues, and is cut at a byte or a time of its plan. A cut breaks it, and then
 * each end notices when its plan says so; or it falls silent, and nobody is told.
 */
export class Wire implements Carrier {
  readonly ends: Readonly<Record<SideName, WireEnd>>;
  watcher: WireWatcher | undefined;
  /** Called once when it is cut by its plan; `flying`: messages were under way. */
  onCut: ((flying: boolean) => void) | undefined;
  /** Called once both ends are over. */
  onOver: (() => void) | undefined;
  #cutDone = false;
  #doomed = false;
  /** Its time has come: the next message is cut. */
  #due = false;
  readonly #ways: Record<SideName, Way> = { agent: newWay(), relay: newWay() };

  constructor(
    readonly world: World,
    readonly plan: LinkPlan,
    private readonly random: SeededRandom,
    machines: Readonly<Record<SideName, Machine>>,
  ) {
    this.ends = {
      agent: new WireEnd(this, "agent", machines.agent),
      relay: new WireEnd(this, "relay", machines.relay),
    };
    const { cut } = plan;
    if (cut === undefined) return;
    world.at(world.nowMs + cut.afterMs, () => {
      this.#due = true;
    });
    world.at(world.nowMs + cut.afterMs * 2 + wireLimits.cutWithinMs, () => this.#cut(cut, false));
  }

  /** Whether both ends still think that it lives. */
  get open(): boolean {
    return this.ends.agent.state === "open" && this.ends.relay.state === "open";
  }

  /** What one end says reaches the other, as far as either knows. */
  get carries(): boolean {
    return this.open && !this.#ways.agent.dead && !this.#ways.relay.dead;
  }

  get bufferBytes(): number {
    return this.plan.bufferBytes;
  }

  carry(from: WireEnd, item: Item, size: number): void {
    const to = this.#other(from);
    const way = this.#ways[to.side];
    from.unsent += size;
    if (way.dead) return;
    const { latencyMs, jitterMs, bytesPerMs } = this.plan;
    const nowMs = this.world.nowMs;
    const beginMs = Math.max(nowMs, way.freeAtMs);
    const takesMs = bytesPerMs > 0 ? size / bytesPerMs : 0;
    const flightMs = latencyMs + (jitterMs > 0 ? jitterMs * this.random.next() : 0);
    way.freeAtMs = beginMs + takesMs;
    const before = way.bytes;
    way.bytes += size;
    if (takesMs === 0) from.unsent -= size;
    else this.world.at(way.freeAtMs, () => this.#departed(from, size));
    const { cut } = this.plan;
    const reached = cut?.toward === to.side && way.bytes > cut.atByte;
    if (cut !== undefined && (reached || this.#due) && !this.#doomed) {
      this.#doomed = true;
      way.dead = true;
      const part = reached ? Math.max(0, cut.atByte - before) : cut.atByte % size;
      const atMs = Math.max(way.arrivesMs, beginMs + (takesMs * part) / size + flightMs);
      this.world.at(atMs, () => {
        if (part > 0 && !way.lost) to.machine.hear(() => to.hear());
        this.#cut(cut, true);
      });
      return;
    }
    const previousMs = way.arrivesMs;
    way.arrivesMs = Math.max(previousMs, way.freeAtMs + flightMs);
    if (takesMs > wireLimits.pieceMs) this.#pieces(to, way, Math.max(previousMs, beginMs + flightMs));
    way.flying++;
    this.world.at(way.arrivesMs, () => {
      way.flying--;
      if (way.lost) return;
      this.world.note(this.world.nowMs * 1_000, to.side === "agent" ? size : -size);
      if (to.answers(item)) return;
      to.machine.hear(() => to.deliver(item));
    });
  }

  /** The bytes of a large message come one after the other. */
  #pieces(to: WireEnd, way: Way, fromMs: number): void {
    const stepMs = Math.max(wireLimits.pieceMs, (way.arrivesMs - fromMs) / wireLimits.maxPieces);
    for (let atMs = fromMs + stepMs; atMs < way.arrivesMs; atMs += stepMs)
      this.world.at(atMs, () => {
        if (!way.lost) to.machine.hear(() => to.hear());
      });
  }

  /** From now on nothing arrives, either way, and nobody is told. */
  silence(): void {
    for (const way of [this.#ways.agent, this.#ways.relay]) {
      way.dead = true;
      way.lost = true;
    }
  }

  /** One end drops it: the other learns that as long as the way there lives. */
  broken(from: WireEnd): void {
    const to = this.#other(from);
    const way = this.#ways[to.side];
    if (way.dead) return;
    way.dead = true;
    const atMs = Math.max(way.arrivesMs, this.world.nowMs + this.plan.latencyMs);
    way.arrivesMs = atMs;
    this.world.at(atMs, () => {
      if (!way.lost) to.machine.hear(() => to.over(1006, ""));
    });
  }

  /** The process of `side` is dead: its socket with it. */
  abandoned(side: SideName): void {
    const end = this.ends[side];
    if (end.state === "closed") return;
    end.abandon();
    this.broken(end);
    this.ended();
  }

  ended(): void {
    if (this.ends.agent.state === "closed" && this.ends.relay.state === "closed") {
      this.onOver?.();
      this.onOver = undefined;
    }
  }

  #departed(from: WireEnd, size: number): void {
    if (from.state === "closed" || this.#ways[this.#other(from).side].dead) return;
    const had = from.queued > 0;
    from.unsent -= size;
    if (had) from.machine.hear(() => from.state === "open" && from.handler.drained());
  }

  #cut(cut: CutPlan, inMessage: boolean): void {
    if (this.#cutDone) return;
    this.#cutDone = true;
    const { agent, relay } = this.#ways;
    if (this.open) this.onCut?.(inMessage || agent.flying + relay.flying > 0);
    for (const side of ["agent", "relay"] as const) {
      const way = this.#ways[side];
      if (cut.silent !== undefined && cut.silent !== "both" && cut.silent !== side) continue;
      way.dead = true;
      if (cut.flying === "lost") way.lost = true;
    }
    if (cut.silent !== undefined) return;
    for (const side of ["agent", "relay"] as const) {
      const end = this.ends[side];
      const noticeMs = cut.noticeMs[side];
      if (noticeMs === undefined) continue;
      const fromMs = cut.flying === "lost" ? this.world.nowMs : this.#ways[side].arrivesMs;
      this.world.at(Math.max(fromMs, this.world.nowMs) + noticeMs, () =>
        end.machine.hear(() => end.over(1006, "")),
      );
    }
  }

  #other(end: WireEnd): WireEnd {
    return end.side === "agent" ? this.ends.relay : this.ends.agent;
  }
}

function newWay(): Way {
  return { bytes: 0, freeAtMs: 0, arrivesMs: 0, dead: false, lost: false, flying: 0 };
}
