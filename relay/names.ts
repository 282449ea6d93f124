import { UnderpassError } from "../shared/errors.ts";
import type { Kind } from "../shared/kind.ts";
import { isName } from "../shared/name.ts";
import { type Random, randomName } from "./random-name.ts";

export { isName };

export interface NamesOptions {
  /** How long a name stays its owner's after the last agent left. */
  readonly ttlMs: number;
  readonly random: Random;
  /** All names together: past it a claim is refused. */
  readonly maxNames: number;
  /** Of one owner, so that one token can't take all. Absent: `maxNames`. */
  readonly maxNamesPerOwner?: number;
}

/** What is known of a name. */
export interface NameFacts {
  readonly owner: string;
  readonly kind: Kind;
  /** An agent is here. */
  readonly live: boolean;
  /** When the last agent left; absent while live, and before the first came. */
  readonly leftAtMs?: number;
}

interface Entry {
  owner: string;
  kind: Kind;
  live: boolean;
  leftAtMs?: number;
  /** When the claim lapses if nothing happens; infinite while live. */
  lapsesAtMs: number;
}

/** A name that was only asked for, by an agent that never came, is not kept for the whole ttl. */
const maxReservationMs = 600_000;
/** A random name is practically never taken; this bounds a `random` that is broken. */
const maxDraws = 16;

/** Who owns which name: asked for or random, kept while its agents are away, recycled. Time is told. */
export class Names {
  readonly #options: NamesOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #countByOwner = new Map<string, number>();
  /** Names without an agent, in the order in which they lapse: so `sweep` looks at no more than it removes. */
  readonly #reserved = new Map<string, Entry>();
  readonly #away = new Map<string, Entry>();

  constructor(options: NamesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Makes `name` (undefined: a random one) the owner's, for `kind`, and returns it. A name that is the owner's already
   * stays so, with its new kind: a newer agent never waits for an older one. Throws `name-invalid`, `name-taken`, or
   * `too-many-requests` when there are too many names.
   */
  claim(name: string | undefined, owner: string, kind: Kind, nowMs: number): string {
    if (owner === "") throw new UnderpassError("unauthorized", "A name needs an owner.");
    if (name !== undefined && !isName(name)) throw new UnderpassError("name-invalid");
    this.sweep(nowMs);
    const known = name === undefined ? undefined : this.#entries.get(name);
    if (name !== undefined && known) {
      if (known.owner !== owner) throw new UnderpassError("name-taken");
      known.kind = kind;
      if (!known.live) this.#wait(name, known, nowMs);
      return name;
    }
    const owned = this.#countByOwner.get(owner) ?? 0;
    const { maxNames, maxNamesPerOwner = maxNames } = this.#options;
    if (this.#entries.size >= maxNames || owned >= maxNamesPerOwner) {
      throw new UnderpassError(
        "too-many-requests",
        "The relay holds as many names as it may. Try again later.",
      );
    }
    const taken = name ?? this.#draw();
    const entry: Entry = { owner, kind, live: false, lapsesAtMs: 0 };
    this.#entries.set(taken, entry);
    this.#countByOwner.set(owner, owned + 1);
    this.#wait(taken, entry, nowMs);
    return taken;
  }

  /** An agent is here: the name does not lapse until `leave`. Ignored for a name that nobody claimed. */
  touch(name: string, _nowMs: number): void {
    const entry = this.#entries.get(name);
    if (!entry) return;
    entry.live = true;
    entry.lapsesAtMs = Number.POSITIVE_INFINITY;
    delete entry.leftAtMs;
    this.#reserved.delete(name);
    this.#away.delete(name);
  }

  /** The last agent left: the name stays its owner's for `ttlMs` more. Idempotent. */
  leave(name: string, nowMs: number): void {
    const entry = this.#entries.get(name);
    if (!entry?.live) return;
    entry.live = false;
    entry.leftAtMs = nowMs;
    this.#wait(name, entry, nowMs);
  }

  ownerOf(name: string): string | undefined {
    return this.#entries.get(name)?.owner;
  }

  /** Undefined for a name that nobody claimed, or that was recycled. */
  lookup(name: string): NameFacts | undefined {
    return this.#entries.get(name);
  }

  /** Recycles what has lapsed, and says how many. The owner of the object calls it now and then. */
  sweep(nowMs: number): number {
    let removed = 0;
    for (const waiting of [this.#reserved, this.#away]) {
      for (const [name, entry] of waiting) {
        if (entry.lapsesAtMs > nowMs) break;
        waiting.delete(name);
        this.#remove(name, entry);
        removed++;
      }
    }
    return removed;
  }

  #wait(name: string, entry: Entry, nowMs: number): void {
    const { ttlMs } = this.#options;
    const seen = entry.leftAtMs !== undefined;
    entry.lapsesAtMs = nowMs + (seen ? ttlMs : Math.min(ttlMs, maxReservationMs));
    const waiting = seen ? this.#away : this.#reserved;
    waiting.delete(name);
    waiting.set(name, entry);
  }

  #remove(name: string, entry: Entry): void {
    this.#entries.delete(name);
    const rest = (this.#countByOwner.get(entry.owner) ?? 1) - 1;
    if (rest > 0) this.#countByOwner.set(entry.owner, rest);
    else this.#countByOwner.delete(entry.owner);
  }

  #draw(): string {
    for (let draw = 0; draw < maxDraws; draw++) {
      const name = randomName(this.#options.random);
      if (!this.#entries.has(name)) return name;
    }
    throw new UnderpassError("too-many-requests", "No free random name was found.");
  }
}
