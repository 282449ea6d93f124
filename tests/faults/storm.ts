import { FaultProxy } from "./fault-proxy.ts";
import type { Direction, Fault, FaultyPipe } from "./faulty-pipe.ts";
import { FrameWatch } from "./frame-watch.ts";
import { Random } from "./load/random.ts";
import type { Weather } from "./one-way.ts";

const directions: readonly Direction[] = ["up", "down"];
const faults: readonly [Fault, ...Fault[]] = ["reset", "end", "silence", "swallow"];
/** A cut at a chosen byte comes within so many; the load moves them in a few milliseconds. */
const maxChosenByte = 20_000;
/** The way is never free of delay: bytes are under way at any moment, as on a real network. */
const fair: Weather = { delayMs: 10 };
/**
 * What comes over the links once they are back after a cut: nothing, some delay, little room, or so much delay that a
 * link is suspected that lives. The last is rare: whoever has learnt that a link is slow is slow to suspect the next one,
 * and the cuts that meet no link then do not count.
 */
const spells: readonly [Weather, ...Weather[]] = [
  fair,
  fair,
  fair,
  { delayMs: 25 },
  { delayMs: 25, bytesPerSecond: 8_000_000 },
  { delayMs: 10, bytesPerSecond: 6_000_000 },
  { delayMs: 60 },
  { delayMs: 150 },
];
/**
 * After so many cuts comes a stall: the links go still for about as long as it takes to suspect them and dial others, and
 * then live. So a session is resumed on one link while the other still brings its messages.
 */
const cutsToStall = 6;
const stallMs = { least: 275, most: 345 } as const;
/** The part of the time between two cuts after which the spell begins. */
const spellFrom = 0.6;

/** A cut waits so long for bytes of streams on all links in use, and for the byte that was chosen. */
const aimForMs = 80;
const aimEveryMs = 2;
/** A stream of the load is never silent for so long. */
const inUseForMs = 500;

interface Struck {
  readonly name: string;
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
  /** Links that stood still for a moment, and how many of them were replaced before the next cut. */
  readonly stalls: readonly [links: number, replaced: number];
  readonly dials: number;
  /** Why the others did not count. */
  readonly missed: readonly string[];
}

/** Cuts all links of a proxy at once, again and again, each time in another way. */
export class Storm {
  readonly #struck: Struck[] = [];
  readonly #watches = new Map<number, Record<Direction, FrameWatch>>();
  readonly #seed: number;
  #stalled = 0;
  #replaced = 0;
  #proxy: FaultProxy | undefined;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** The proxy whose links this storm cuts. */
  async proxy(relayUrl: string): Promise<FaultProxy> {
    const tap = ({ index }: { index: number }) => {
      const watch = { up: new FrameWatch(), down: new FrameWatch() };
      this.#watches.set(index, watch);
      return (direction: Direction, bytes: Buffer) => watch[direction].push(bytes);
    };
    this.#proxy = await FaultProxy.listen(relayUrl, { tap });
    this.#proxy.setWeather(fair);
    return this.#proxy;
  }

  /** So many cuts, one every `everyMs`, and stalls in between; each is told to `seen` at once, in a line for people. */
  async blow(cuts: number, everyMs: number, seen: (line: string) => void): Promise<void> {
    let beganAtMs = performance.now();
    const until = (ms: number) =>
      new Promise((resolve) => setTimeout(resolve, Math.max(0, beganAtMs + ms - performance.now())));
    for (let number = 1; number <= cuts; number++) {
      await until(number * everyMs);
      const { line, spell } = await this.#strike();
      seen(line);
      await until((number + spellFrom) * everyMs);
      this.#proxy?.setWeather(spell);
      if (number % cutsToStall !== 0) continue;
      await until((number + 1) * everyMs);
      seen(await this.#stall(everyMs));
      beganAtMs += everyMs;
    }
    this.#proxy?.setWeather(fair);
  }

  get report(): StormReport {
    const kinds: Record<string, [number, number]> = {};
    const linksAtOnce: Record<number, number> = {};
    const missed: string[] = [];
    this.#struck.forEach(({ name, links }, i) => {
      linksAtOnce[links.length] = (linksAtOnce[links.length] ?? 0) + 1;
      const missing = links.length === 0 ? "no link in use" : this.#whyMissed(links);
      const kind = (kinds[name] ??= [0, 0]);
      kind[0]++;
      if (missing === "") kind[1]++;
      else missed.push(`cut ${i + 1}: ${missing}`);
    });
    const cuts = this.#struck.length;
    const dials = this.#proxy?.pipes.length ?? 0;
    const stalls = [this.#stalled, this.#replaced] as const;
    return { cuts, counted: cuts - missed.length, kinds, linksAtOnce, stalls, dials, missed };
  }

  async #strike(): Promise<{ line: string; spell: Weather }> {
    const proxy = this.#proxy;
    if (proxy === undefined) throw new Error("there is no proxy yet");
    // Of this cut alone, so that the schedule does not depend on how many pipes there are.
    const random = new Random(this.#seed * 10_007 + this.#struck.length);
    const fault = random.one(faults);
    const spell = random.one(spells);
    const chosen = random.next() < 0.4;
    const name = chosen ? `${fault} at a byte` : fault;
    if (!chosen) await aim(() => proxy.live.every((pipe) => !this.#isInUse(pipe) || this.#holdsFrame(pipe)));
    const pipes = proxy.live;
    this.#struck.push({ name, links: pipes.filter((pipe) => this.#isInUse(pipe)) });
    const places = pipes.map((pipe) => {
      const direction: Direction = random.next() < 0.5 ? "up" : "down";
      const bytes = random.whole(1, maxChosenByte);
      if (chosen) pipe.faultAfter(bytes, direction, fault);
      else pipe.fault(fault);
      return `pipe ${pipe.index}${chosen ? ` after ${bytes} ${direction}` : ""}`;
    });
    proxy.setWeather(fair);
    if (chosen) await aim(() => pipes.every((pipe) => !pipe.live));
    // Those that did not come to their byte.
    for (const pipe of pipes) if (pipe.live) pipe.fault(fault);
    const what = `${name}, ${places.join(", ") || "no pipe"}`;
    return { line: `cut ${this.#struck.length}: ${what}; later ${JSON.stringify(spell)}`, spell };
  }

  async #stall(forMs: number): Promise<string> {
    const random = new Random(this.#seed * 10_007 - this.#struck.length);
    const pipes = this.#proxy?.live ?? [];
    this.#proxy?.setWeather(fair);
    for (const pipe of pipes) pipe.setWeather({ delayMs: random.whole(stallMs.least, stallMs.most) });
    await new Promise((resolve) => setTimeout(resolve, forMs));
    const replaced = pipes.filter((pipe) => !pipe.live).length;
    this.#stalled += pipes.length;
    this.#replaced += replaced;
    return `a stall of ${pipes.length} links, of which ${replaced} were replaced`;
  }

  #holdsFrame(pipe: FaultyPipe): boolean {
    const watch = this.#watches.get(pipe.index);
    return directions.some((direction) => {
      const to = pipe.taken(direction);
      return watch?.[direction].hasFrame({ from: to - pipe.held(direction), to }) === true;
    });
  }

  /**
   * Frames have passed of late. A dial that is not through yet, or a link without open streams, is cut too, but it
   * neither counts nor stands in the way.
   */
  #isInUse(pipe: FaultyPipe): boolean {
    const watch = this.#watches.get(pipe.index);
    if (watch === undefined) return false;
    return Math.max(watch.up.lastFrameAtMs, watch.down.lastFrameAtMs) >= performance.now() - inUseForMs;
  }

  /** Empty: each lost bytes of streams. */
  #whyMissed(links: readonly FaultyPipe[]): string {
    const why = links.map(({ index, cut }) => {
      const watch = this.#watches.get(index);
      if (watch === undefined || cut === undefined) return `pipe ${index} was gone`;
      if (watch.up.hasFrame(cut.lost.up) || watch.down.hasFrame(cut.lost.down)) return "";
      return cut.inFlight ? `pipe ${index} lost no frame` : `pipe ${index} lost nothing`;
    });
    return why.filter((text) => text !== "").join(", ");
  }
}

/** Waits until it is so, but not for long. */
async function aim(isSo: () => boolean): Promise<void> {
  const untilMs = performance.now() + aimForMs;
  while (!isSo() && performance.now() < untilMs)
    await new Promise((resolve) => setTimeout(resolve, aimEveryMs));
}
