import { Nodes } from "../../relay/cluster/nodes.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { type BoardWay, factsOf, MemoryBoard } from "./memory-board.ts";

export const own = "ownowno1";

/** One relay under test; the others are lines that the test puts up. */
export class NodesRig {
  readonly clock = new VirtualClock();
  readonly board = new MemoryBoard();
  readonly way: BoardWay = this.board.way();
  readonly linked = new Set<string>();
  readonly told: string[] = [];
  readonly faults: string[] = [];
  /** Who puts a line up each second. */
  readonly beating = new Set<string>();
  readonly nodes: Nodes;
  #steps = 0;
  self = factsOf(own);

  constructor(random: () => number = () => 0.5) {
    this.nodes = new Nodes({
      ...{ clock: this.clock, board: this.way, random, self: () => this.self },
      linkUp: (id) => this.linked.has(id),
      fault: (error) => void this.faults.push(error.message),
    });
    this.nodes.onDead = (id) => void this.told.push(`dead ${id}`);
    this.nodes.onAlive = ({ id }) => void this.told.push(`alive ${id}`);
  }

  /** It is on the board, and so are these. */
  static begun(...ids: readonly string[]): NodesRig {
    const rig = new NodesRig();
    rig.nodes.begin();
    for (const id of ids) rig.board.put(factsOf(id));
    return rig;
  }

  /** Time goes on in steps of 100 ms; what the board answers is taken in. */
  async pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 100) {
      this.clock.advance(100);
      if (++this.#steps % 10 === 0) for (const id of this.beating) this.board.put(factsOf(id));
      await this.settle();
    }
  }

  /** What the board has answered is taken in. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 8; turn++) await Promise.resolve();
  }

  get alive(): string {
    return this.nodes
      .others()
      .map(({ id }) => id)
      .join(" ");
  }
}
