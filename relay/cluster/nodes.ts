import type { Clock } from "../../shared/clock.ts";
import type { BoardWatcher, NodeBoard, NodeFacts } from "./board.ts";

export const nodeLimits = {
  /** A relay's line is put up anew so often, give or take a tenth, so that they don't all come at once. */
  beatMs: 1_000,
  beatJitter: 0.1,
  /** Three lines that did not come. */
  deadMs: 3_500,
  /**
   * With longer between two signs of the board, it was out of reach without a word, or this process stood still: nobody's
   * silence counts. Below `deadMs` by more than a beat: the line that it kept from us is not one of those that count.
   */
  signsMs: 2_200,
  /** At whose address nobody is, and whose line is overdue, as the board has shown since then that it is within reach. */
  overdueMs: 1_300,
  lookAgainSoonMs: 250,
  /** One that is silent, or was removed, while a link to it is up. */
  lookAgainMs: 1_000,
  /** A board that is within reach again may tell old lines: a dead one must be heard twice. */
  aliveAgainMs: 500,
  maxNodes: 256,
  /** Those that died are shown for so long. */
  deadShownMs: 600_000,
  /** A line that is neither up nor refused by then is not waited for. */
  putWithinMs: 3_000,
  endWithinMs: 300,
} as const;

export interface NodesOptions {
  readonly clock: Clock;
  readonly board: NodeBoard;
  /** What this relay tells of itself, as it is now. */
  readonly self: () => NodeFacts;
  /** Our session with this neighbour has a link that is not in doubt: whatever the board says, it lives. */
  readonly linkUp: (id: string) => boolean;
  /** The board can't be written (told once until it can again), or somebody on it can't be a neighbour. */
  readonly fault: (error: Error) => void;
  /** 0 to 1. */
  readonly random?: () => number;
}

interface Known {
  facts: NodeFacts;
  /** Since when its silence counts. */
  heardMs: number;
  /** It has ended, but a link to it is up. */
  removed: boolean;
  /** Nobody was at its address, since it was heard. */
  missed: boolean;
}

interface Dead {
  readonly facts: NodeFacts;
  readonly diedMs: number;
  /** When it was heard again. */
  againMs?: number;
}

/** Which relays of the cluster live, by the lines that each puts up on the board, and by the links to them. */
export class Nodes {
  /** It is gone, and so are its sessions; told once until it is alive again. */
  onDead: (id: string) => void = () => {};
  onAlive: (facts: NodeFacts) => void = () => {};
  /** There are others than before, or one has another state or address. What they carry changes without a word. */
  onChange: () => void = () => {};
  readonly #options: NodesOptions;
  readonly #known = new Map<string, Known>();
  /** Those that died, the longest dead first. */
  readonly #dead = new Map<string, Dead>();
  /** Who was ignored, and told as a fault. */
  readonly #ignored = new Set<string>();
  #others: readonly NodeFacts[] | undefined;
  /** The board has said that it is out of reach. */
  #isLost = false;
  #ownId: string | undefined;
  /** The last sign of the board, and since when such signs came without a gap. */
  #signMs = Number.NEGATIVE_INFINITY;
  #signsSinceMs = 0;
  /** When the line that is being put up was given to the board. */
  #puttingMs = Number.NEGATIVE_INFINITY;
  #putsAgain = false;
  #isFailing = false;
  #state: "new" | "begun" | "ended" = "new";
  #cancelBeat = () => {};
  #cancelLook = () => {};
  #lookMs = Number.POSITIVE_INFINITY;

  constructor(options: NodesOptions) {
    this.#options = options;
  }

  /** From now on this relay is seen, and sees the others. */
  begin(): void {
    if (this.#state !== "new") return;
    this.#state = "begun";
    const watcher: BoardWatcher = {
      put: (facts) => this.#heard(facts),
      removed: (id) => this.#removed(id),
      reachable: (is) => this.#reachable(is),
    };
    this.#options.board.watch(watcher);
    this.#beat();
  }

  /** Takes this relay's line down, so that nobody waits for it. Never rejects; the others find out anyway. */
  async end(): Promise<void> {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#cancelBeat();
    this.#cancelLook();
    const { board, clock } = this.#options;
    const late = Promise.withResolvers<void>();
    const cancel = clock.at(clock.now() + nodeLimits.endWithinMs, late.resolve);
    await Promise.race([board.remove(this.#own).catch(() => {}), late.promise]);
    cancel();
  }

  /** What this relay tells of itself has changed, and the others are to know at once. */
  changed(): void {
    if (this.#state === "begun") this.#put();
  }

  /** Those that are alive, by id. */
  others(): readonly NodeFacts[] {
    this.#others ??= [...this.#known.values()]
      .map(({ facts }) => facts)
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    return this.#others;
  }

  /** What a relay that is alive tells of itself. */
  facts(id: string): NodeFacts | undefined {
    return id === this.#own ? this.#options.self() : this.#known.get(id)?.facts;
  }

  /**
   * false: its sessions are gone. One that nobody here has heard of is alive as long as that means nothing, which is when
   * the board has not been within reach for long enough.
   */
  isAlive(id: string): boolean {
    if (this.#known.has(id) || id === this.#own) return true;
    if (this.#dead.has(id)) return false;
    const nowMs = this.#options.clock.now();
    return !this.#silenceCounts(nowMs) || nowMs - this.#signsSinceMs < nodeLimits.deadMs;
  }

  /** Those that died lately, as they were. */
  dead(): NodeFacts[] {
    const sinceMs = this.#options.clock.now() - nodeLimits.deadShownMs;
    return [...this.#dead.values()].filter(({ diedMs }) => diedMs > sinceMs).map(({ facts }) => facts);
  }

  /** Nobody is at the address of this one: unless it is heard soon, it is dead, as a process is that was killed. */
  missed(id: string): void {
    const known = this.#known.get(id);
    if (this.#state !== "begun" || known === undefined || known.missed) return;
    known.missed = true;
    this.#lookAt(this.#options.clock.now() + nodeLimits.lookAgainSoonMs);
  }

  /** What others tell of themselves comes here. */
  get boardReachable(): boolean {
    return this.#silenceCounts(this.#options.clock.now());
  }

  /** Asked for each session of a relay: all that this one tells of itself takes some counting. */
  get #own(): string {
    this.#ownId ??= this.#options.self().id;
    return this.#ownId;
  }

  // What this relay puts up

  #beat(): void {
    const { clock, random = Math.random } = this.#options;
    const { beatMs, beatJitter } = nodeLimits;
    this.#put();
    this.#cancelBeat();
    this.#cancelBeat = clock.at(clock.now() + beatMs * (1 + beatJitter * (2 * random() - 1)), () =>
      this.#beat(),
    );
  }

  #put(): void {
    const { board, clock, self, fault } = this.#options;
    const sinceMs = clock.now();
    // One at a time: a board that stands still would gather them.
    this.#putsAgain = sinceMs - this.#puttingMs < nodeLimits.putWithinMs;
    if (this.#putsAgain) return;
    this.#puttingMs = sinceMs;
    const done = (): void => {
      if (this.#puttingMs !== sinceMs || this.#state === "ended") return;
      this.#puttingMs = Number.NEGATIVE_INFINITY;
      if (this.#putsAgain) this.#put();
    };
    board.put(self()).then(
      () => {
        this.#isFailing = false;
        this.#sign();
        done();
      },
      (error) => {
        // One that is out of reach says so itself.
        if (!this.#isLost) {
          if (!this.#isFailing) fault(new Error(`The board of relays can't be written: ${error}`));
          this.#isFailing = true;
        }
        done();
      },
    );
  }

  // What the board tells

  #reachable(is: boolean): void {
    if (this.#state === "ended") return;
    const isBack = is && this.#isLost;
    this.#isLost = !is;
    this.#signMs = Number.NEGATIVE_INFINITY;
    if (is) this.#sign();
    // The others wait for it, too.
    if (isBack) this.#beat();
  }

  /** The board has shown that it is within reach. */
  #sign(): void {
    if (this.#isLost) return;
    const nowMs = this.#options.clock.now();
    if (nowMs - this.#signMs > nodeLimits.signsMs) {
      this.#signsSinceMs = nowMs;
      for (const known of this.#known.values()) known.heardMs = nowMs;
    }
    this.#signMs = nowMs;
  }

  #silenceCounts(nowMs: number): boolean {
    return nowMs - this.#signMs <= nodeLimits.signsMs;
  }

  #heard(facts: NodeFacts): void {
    if (this.#state === "ended") return;
    this.#sign();
    const { id } = facts;
    const nowMs = this.#options.clock.now();
    if (id === this.#own || this.#isForeign(facts)) return;
    const known = this.#known.get(id);
    // A line that was overtaken by its removal.
    if (known?.removed === true) return;
    if (known === undefined) return this.#found(facts, nowMs);
    const { url, state } = known.facts;
    known.facts = facts;
    known.heardMs = nowMs;
    known.missed = false;
    this.#others = undefined;
    if (url !== facts.url || state !== facts.state) this.onChange();
  }

  #found(facts: NodeFacts, nowMs: number): void {
    const { id } = facts;
    const dead = this.#dead.get(id);
    if (dead !== undefined) {
      dead.againMs ??= nowMs;
      if (nowMs - dead.againMs < nodeLimits.aliveAgainMs) return;
    }
    if (this.#known.size >= nodeLimits.maxNodes)
      return this.#ignore(id, `there are ${nodeLimits.maxNodes} others already`);
    this.#dead.delete(id);
    this.#known.set(id, { facts, heardMs: nowMs, removed: false, missed: false });
    this.#others = undefined;
    this.#lookAt(nowMs + nodeLimits.deadMs);
    this.onAlive(facts);
    this.onChange();
  }

  #isForeign({ id, version }: NodeFacts): boolean {
    const own = this.#options.self().version;
    if (majorOf(version) === majorOf(own)) return false;
    this.#ignore(id, `its version is ${version}, and ours ${own}`);
    return true;
  }

  #ignore(id: string, why: string): void {
    if (this.#ignored.has(id)) return;
    if (this.#ignored.size >= nodeLimits.maxNodes) this.#ignored.clear();
    this.#ignored.add(id);
    this.#options.fault(new Error(`The relay ${id} is ignored: ${why}.`));
  }

  #removed(id: string): void {
    const known = this.#known.get(id);
    if (this.#state === "ended" || known === undefined || known.removed) return;
    known.removed = true;
    if (!this.#options.linkUp(id)) return this.#died(known.facts);
    const { state } = known.facts;
    known.facts = { ...known.facts, state: "draining" };
    this.#others = undefined;
    this.#lookAt(this.#options.clock.now() + nodeLimits.lookAgainMs);
    if (state !== "draining") this.onChange();
  }

  // Who is silent

  #lookAt(atMs: number): void {
    if (atMs >= this.#lookMs) return;
    this.#cancelLook();
    this.#lookMs = atMs;
    this.#cancelLook = this.#options.clock.at(atMs, () => this.#look());
  }

  #look(): void {
    const { clock, linkUp } = this.#options;
    const nowMs = clock.now();
    const { deadMs, overdueMs, lookAgainMs, lookAgainSoonMs } = nodeLimits;
    const counts = this.#silenceCounts(nowMs);
    this.#lookMs = Number.POSITIVE_INFINITY;
    for (const [id, { facts, heardMs, removed, missed }] of [...this.#known]) {
      const isSilent = nowMs - heardMs >= deadMs;
      const isOverdue = missed && this.#signMs - heardMs >= overdueMs;
      if ((removed || (counts && (isSilent || isOverdue))) && !linkUp(id)) this.#died(facts);
      else if (removed || isSilent) this.#lookAt(nowMs + lookAgainMs);
      else this.#lookAt(missed ? nowMs + lookAgainSoonMs : heardMs + deadMs);
      // One of those who were told may have ended this.
      if (this.#state === "ended") return;
    }
  }

  #died(facts: NodeFacts): void {
    const { id } = facts;
    this.#known.delete(id);
    this.#others = undefined;
    this.#dead.delete(id);
    this.#dead.set(id, { facts, diedMs: this.#options.clock.now() });
    const [longest] = this.#dead.keys();
    if (this.#dead.size > nodeLimits.maxNodes && longest !== undefined) this.#dead.delete(longest);
    this.onDead(id);
    this.onChange();
  }
}

function majorOf(version: string): string {
  return version.split(".", 1)[0] ?? "";
}
