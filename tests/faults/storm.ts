import { FaultProxy } from "./fault-proxy.ts";
import type { Direction, Fault, FaultyPipe } from "./faulty-pipe.ts";
import { FrameWatch } from "./frame-watch.ts";
import type { Random } from "./load/random.ts";
import type { Weather } from "./one-way.ts";

const faults: readonly [Fault, ...Fault[]] = ["reset", "end", "silence", "swallow"];
/** A cut at a chosen byte comes within so many; the load moves them in a few milliseconds. */
const maxChosenByte = 20_000;
/** The way is never free of delay: bytes are under way at any moment, as on a real network. */
const weathers: readonly [Weather, ...Weather[]] = [
  { delayMs: 10 },
  { delayMs: 10 },
  { delayMs: 10 },
  { delayMs: 60 },
  { delayMs: 10, bytesPerSecond: 4_000_000 },
];

interface Struck {
  readonly name: string;
  readonly atMs: number;
  readonly weather: Weather;
  readonly pipes: readonly FaultyPipe[];
}

/** What came of a storm. */
export interface StormReport {
  readonly cuts: number;
  /** Those in which every link that was there lost bytes of a stream. */
  readonly counted: number;
  /** Cuts by kind, and how many of them counted. */
  readonly kinds: Readonly<Record<string, readonly [cuts: number, counted: number]>>;
  /** How many cuts took so many links at once. */
  readonly linksAtOnce: Readonly<Record<number, number>>;
  readonly dials: number;
}

/** Cuts all links of a proxy at once, again and again, each time in another way. */
export class Storm {
  readonly #struck: Struck[] = [];
  readonly #watches = new Map<number, Record<Direction, FrameWatch>>();
  readonly #random: Random;
  #proxy: FaultProxy | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The proxy whose links this storm cuts. */
  async proxy(targetPort: number): Promise<FaultProxy> {
    const tap = ({ index }: { index: number }) => {
      const watch = { up: new FrameWatch(), down: new FrameWatch() };
      this.#watches.set(index, watch);
      return (direction: Direction, bytes: Buffer) => watch[direction].push(bytes);
    };
    this.#proxy = await FaultProxy.listen(targetPort, { tap });
    this.#proxy.setWeather(weathers[0]);
    return this.#proxy;
  }

  /** A cut every `everyMs` for `forMs`; each is told to `seen` at once, in a line for people. */
  async blow(everyMs: number, forMs: number, seen: (line: string) => void): Promise<void> {
    const beganAtMs = performance.now();
    for (let number = 1; number * everyMs <= forMs; number++) {
      const waitMs = beganAtMs + number * everyMs - performance.now();
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, waitMs)));
      seen(this.#strike());
    }
    this.#proxy?.setWeather({});
  }

  get report(): StormReport {
    const kinds: Record<string, [number, number]> = {};
    const linksAtOnce: Record<number, number> = {};
    let counted = 0;
    this.#struck.forEach((struck, i) => {
      const untilMs = this.#struck[i + 1]?.atMs ?? Number.POSITIVE_INFINITY;
      const links = struck.pipes.filter((pipe) => this.#isLink(pipe));
      linksAtOnce[links.length] = (linksAtOnce[links.length] ?? 0) + 1;
      const hits = links.length > 0 && links.every((pipe) => this.#lostFrames(pipe, untilMs));
      const kind = (kinds[struck.name] ??= [0, 0]);
      kind[0]++;
      if (!hits) return;
      kind[1]++;
      counted++;
    });
    return { cuts: this.#struck.length, counted, kinds, linksAtOnce, dials: this.#proxy?.pipes.length ?? 0 };
  }

  #strike(): string {
    const proxy = this.#proxy;
    if (proxy === undefined) throw new Error("there is no proxy yet");
    const random = this.#random;
    const fault = random.one(faults);
    const weather = random.one(weathers);
    const chosen = random.next() < 0.4;
    const name = chosen ? `${fault} at a byte` : fault;
    const pipes = proxy.live;
    this.#struck.push({ name, atMs: performance.now(), weather, pipes });
    const places = pipes.map((pipe) => {
      const direction: Direction = random.next() < 0.5 ? "up" : "down";
      const bytes = random.whole(1, maxChosenByte);
      if (chosen) pipe.faultAfter(bytes, direction, fault);
      else pipe.fault(fault);
      return `pipe ${pipe.index}${chosen ? ` after ${bytes} ${direction}` : ""}`;
    });
    // Only those that come now see the new weather, and those that wait for their byte.
    proxy.setWeather(weather);
    return `cut ${this.#struck.length}: ${name}, ${places.join(", ") || "no pipe"}; then ${JSON.stringify(weather)}`;
  }

  /** Frames have passed: a dial that is not through yet is cut too, but neither counts nor stands in the way. */
  #isLink(pipe: FaultyPipe): boolean {
    const watch = this.#watches.get(pipe.index);
    return watch !== undefined && watch.up.frames + watch.down.frames > 0;
  }

  /** It was cut before the next cut came, and bytes of streams were under way in it. */
  #lostFrames({ index, cut }: FaultyPipe, untilMs: number): boolean {
    const watch = this.#watches.get(index);
    if (watch === undefined || cut === undefined || cut.atMs >= untilMs) return false;
    return watch.up.hasFrame(cut.lost.up) || watch.down.hasFrame(cut.lost.down);
  }
}
