import type { BoardWatcher, NodeBoard, NodeFacts } from "../../relay/cluster/board.ts";

/** A line of the relay with this id. */
export function factsOf(id: string, more: Partial<NodeFacts> = {}): NodeFacts {
  return {
    ...{ id, state: "ready", version: "1.2.3", startedAt: 0, tunnels: 0, sessions: 0, hopsIn: 0, hopsOut: 0 },
    ...more,
  };
}

/** A board for all relays of a test. Each has its own way to it, which may break, stand still without a word, or take nothing. */
export class MemoryBoard {
  readonly lines = new Map<string, NodeFacts>();
  readonly ways = new Set<BoardWay>();

  way(): BoardWay {
    const way = new BoardWay(this);
    this.ways.add(way);
    return way;
  }

  /** As a relay would that the test does not run. */
  put(facts: NodeFacts): void {
    this.lines.set(facts.id, facts);
    for (const way of this.ways) way.tell((watcher) => watcher.put(facts));
  }

  remove(id: string): void {
    this.lines.delete(id);
    for (const way of this.ways) way.tell((watcher) => watcher.removed(id));
  }
}

export class BoardWay implements NodeBoard {
  puts = 0;
  #watcher: BoardWatcher | undefined;
  #state: "open" | "broken" | "still" | "refusing" = "open";

  constructor(private readonly board: MemoryBoard) {}

  async put(node: NodeFacts): Promise<void> {
    this.puts++;
    await this.#reach();
    this.board.put(node);
  }

  async remove(id: string): Promise<void> {
    await this.#reach();
    this.board.remove(id);
  }

  watch(watcher: BoardWatcher): void {
    this.#watcher = watcher;
    watcher.reachable(this.#state !== "broken");
    this.#retell();
  }

  tell(what: (watcher: BoardWatcher) => void): void {
    if ((this.#state === "open" || this.#state === "refusing") && this.#watcher !== undefined)
      what(this.#watcher);
  }

  /** It says that it is out of reach. */
  break(): void {
    this.#state = "broken";
    this.#watcher?.reachable(false);
  }

  /** Nothing comes or goes, and nobody says so. */
  stand(): void {
    this.#state = "still";
  }

  /** As it was before, and all lines are told again. */
  mend(): void {
    this.#open("open");
  }

  /** The same, but that it takes no line. */
  refuse(): void {
    this.#open("refusing");
  }

  #open(state: "open" | "refusing"): void {
    const said = this.#state === "broken";
    this.#state = state;
    if (said) this.#watcher?.reachable(true);
    this.#retell();
  }

  #reach(): Promise<void> {
    if (this.#state === "broken") return Promise.reject(new Error("out of reach"));
    if (this.#state === "refusing") return Promise.reject(new Error("refused"));
    return this.#state === "still" ? new Promise(() => {}) : Promise.resolve();
  }

  #retell(): void {
    for (const facts of this.board.lines.values()) this.tell((watcher) => watcher.put(facts));
  }
}
