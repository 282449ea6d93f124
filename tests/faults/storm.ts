import { FaultProxy } from "./fault-proxy.ts";
import type { Direction, Fault, FaultyPipe } from "./faulty-pipe.ts";
import { FrameWatch } from "./frame-watch.ts";
import { Random } from "./load/random.ts";
import type { Weather } from "./one-way.ts";

const faults: readonly [Fault, ...Fault[]] = ["reset", "end", "silence", "swallow"];
/** A cut at a chosen byte comes within so many; the load moves them in a few milliseconds. */
const maxChosenByte = 20_000;
/** The way is never free of delay: bytes are under way at any moment, as on a real network. */
const fair: Weather = { delayMs: 10 };
/** What comes over the links once they are back after a cut: nothing, delay (the last: enough for a suspicion that is wrong), too little room for the load. */
const spells: readonly [Weather, ...Weather[]] = [
  fair,
  fair,
  fair,
  { delayMs: 60 },
  { delayMs: 60, bytesPerSecond: 8_000_000 },
  { delayMs: 150 },
  { delayMs: 10, bytesPerSecond: 4_000_000 },
];
/** The part of the time between two cuts after which the spell begins. */
const spellFrom = 0.6;

/** A stream of the load is never silent for so long. */
const inUseForMs = 500;

interface Struck {
  readonly name: string;
  readonly atMs: number;
  /** Those of the pipes that were links in use. */
  readonly links: readonly FaultyPipe[];
}

/** What came of a storm. */
export interface StormReport {
  readonly cuts: number;
  /** Those in which every link that was in use lost bytes of a stream. */
  readonly counted: number;
  /** Cuts by kind, and how many of them counted. */
  readonly kinds: Readonly<Record<string, readonly [cuts: number, counted: number]>>;
  /** How many cuts took so many links in use at once. */
  readonly linksAtOnce: Readonly<Record<number, number>>;
  readonly dials: number;
  /** Why the others did not count. */
  readonly missed: readonly string[];
}

/** Cuts all links of a proxy at once, again and again, each time in another way. */
export class Storm {
  readonly #struck: Struck[] = [];
  readonly #watches = new Map<number, Record<Direction, FrameWatch>>();
  readonly #seed: number;
  #proxy: FaultProxy | undefined;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** The proxy whose links this storm cuts. */
  async proxy(targetPort: number): Promise<FaultProxy> {
    const tap = ({ index }: { index: number }) => {
      const watch = { up: new FrameWatch(), down: new FrameWatch() };
      this.#watches.set(index, watch);
      return (direction: Direction, bytes: Buffer) => watch[direction].push(bytes);
    };
    this.#proxy = await FaultProxy.listen(targetPort, { tap });
    this.#proxy.setWeather(fair);
    return this.#proxy;
  }

  /** A cut every `everyMs` for `forMs`; each is told to `seen` at once, in a line for people. */
  async blow(everyMs: number, forMs: number, seen: (line: string) => void): Promise<void> {
    const beganAtMs = performance.now();
    const until = (ms: number) =>
      new Promise((resolve) => setTimeout(resolve, Math.max(0, beganAtMs + ms - performance.now())));
    for (let number = 1; number * everyMs <= forMs; number++) {
      await until(number * everyMs);
      const { line, spell } = this.#strike();
      seen(line);
      await until((number + spellFrom) * everyMs);
      this.#proxy?.setWeather(spell);
    }
    this.#proxy?.setWeather(fair);
  }

  get report(): StormReport {
    const kinds: Record<string, [number, number]> = {};
    const linksAtOnce: Record<number, number> = {};
    const missed: string[] = [];
    this.#struck.forEach(({ name, links }, i) => {
      const untilMs = this.#struck[i + 1]?.atMs ?? Number.POSITIVE_INFINITY;
      linksAtOnce[links.length] = (linksAtOnce[links.length] ?? 0) + 1;
      const missing = links.length === 0 ? "no link in use" : this.#whyMissed(links, untilMs);
      const kind = (kinds[name] ??= [0, 0]);
      kind[0]++;
      if (missing === "") kind[1]++;
      else missed.push(`cut ${i + 1}: ${missing}`);
    });
    const cuts = this.#struck.length;
    const dials = this.#proxy?.pipes.length ?? 0;
    return { cuts, counted: cuts - missed.length, kinds, linksAtOnce, dials, missed };
  }

  #strike(): { line: string; spell: Weather } {
    const proxy = this.#proxy;
    if (proxy === undefined) throw new Error("there is no proxy yet");
    // Of this cut alone, so that the schedule does not depend on how many pipes there are.
    const random = new Random(this.#seed * 10_007 + this.#struck.length);
    const fault = random.one(faults);
    const spell = random.one(spells);
    const chosen = random.next() < 0.4;
    const name = chosen ? `${fault} at a byte` : fault;
    const pipes = proxy.live;
    const atMs = performance.now();
    this.#struck.push({ name, atMs, links: pipes.filter((pipe) => this.#isInUse(pipe, atMs)) });
    const places = pipes.map((pipe) => {
      const direction: Direction = random.next() < 0.5 ? "up" : "down";
      const bytes = random.whole(1, maxChosenByte);
      if (chosen) pipe.faultAfter(bytes, direction, fault);
      else pipe.fault(fault);
      return `pipe ${pipe.index}${chosen ? ` after ${bytes} ${direction}` : ""}`;
    });
    proxy.setWeather(fair);
    const what = `${name}, ${places.join(", ") || "no pipe"}`;
    return { line: `cut ${this.#struck.length}: ${what}; later ${JSON.stringify(spell)}`, spell };
  }

  /**
   * Frames have passed of late. A dial that is not through yet, or a link without open streams, is cut too, but it
   * neither counts nor stands in the way.
   */
  #isInUse(pipe: FaultyPipe, nowMs: number): boolean {
    const watch = this.#watches.get(pipe.index);
    if (watch === undefined) return false;
    return Math.max(watch.up.lastFrameAtMs, watch.down.lastFrameAtMs) >= nowMs - inUseForMs;
  }

  /** Empty: each was cut before the next cut came, and lost bytes of streams. */
  #whyMissed(links: readonly FaultyPipe[], untilMs: number): string {
    const why = links.map(({ index, cut }) => {
      const watch = this.#watches.get(index);
      if (watch === undefined || cut === undefined || cut.atMs >= untilMs)
        return `pipe ${index} did not come to its byte`;
      if (watch.up.hasFrame(cut.lost.up) || watch.down.hasFrame(cut.lost.down)) return "";
      return cut.inFlight ? `pipe ${index} lost no frame` : `pipe ${index} lost nothing`;
    });
    return why.filter((text) => text !== "").join(", ");
  }
}
