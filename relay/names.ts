import { UnderpassError } from "../shared/errors.ts";
import type { Kind } from "../shared/kind.ts";
import { isName } from "../shared/name.ts";
import { type Random, randomName } from "./random-name.ts";
import type { NameRow, NameStore } from "./store.ts";
import { MemoryNames } from "./stores/memory-names.ts";

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
  /**
   * When the last agent left; absent while live, and before the first came. For one that was here when an earlier
   * process ended, or is with another process: when this process started.
   */
  readonly leftAtMs?: number;
  /** The agent said goodbye, and is not expected back. Beside `leftAtMs`. */
  readonly bye?: boolean;
}

/** Longer than another process that lives takes to say that a name is its own: it does so each minute. */
const minInheritedMs = 180_000;
/** A name that was only asked for, by an agent that never came, is not kept for the whole ttl. */
const maxReservationMs = 600_000;
/** A random name is practically never taken; this bounds a `random` that is broken. */
const maxDraws = 16;

/**
 * Who owns which name: asked for or random, kept while its agents are away, recycled. Time is told: milliseconds that
 * only rise. Each call asks the store, which other processes may have changed meanwhile.
 */
export class Names {
  readonly #options: NamesOptions;
  readonly #store: NameStore;
  #ending = false;

  constructor(options: NamesOptions, store: NameStore = new MemoryNames()) {
    this.#options = options;
    this.#store = store;
  }

  get size(): number {
    return this.#store.size;
  }

  /**
   * Makes `name` (undefined: a random one) the owner's, for `kind`, and returns it. A name that is the owner's already
   * stays so, with its new kind: a newer agent never waits for an older one. Throws `name-invalid`, `name-taken`,
   * `too-many-requests` when there are too many names, or `internal-error` when the store can't take a new one.
   */
  claim(name: string | undefined, owner: string, kind: Kind, nowMs: number): string {
    const wanted = name ?? this.#draw();
    const known = isName(wanted) ? this.#store.get(wanted) : undefined;
    // What changes nothing costs no writing.
    if (!isHome(known, owner, kind))
      this.#grant(wanted, owner, nowMs, (row) => this.#claimed(row, owner, kind, nowMs));
    return wanted;
  }

  /** The same for an agent that is here now, so that the name does not lapse until `leave`, in one write. */
  take(name: string, owner: string, kind: Kind, nowMs: number): string {
    this.#grant(name, owner, nowMs, (row) =>
      // Each link of a pool says it again.
      isHome(row, owner, kind) ? row : here(this.#claimed(row, owner, kind, nowMs)),
    );
    return name;
  }

  /** Throws what `claim` would throw now, and keeps nothing. */
  check(name: string, owner: string, kind: Kind, nowMs: number): string {
    this.#withRoom(name, owner, nowMs, () => {
      const known = this.#store.get(name);
      if (!isHome(known, owner, kind)) this.#claimed(known, owner, kind, nowMs);
    });
    return name;
  }

  /** `owner` has agents here under `name`, whatever the store says: puts that right. false: it can't be written now. */
  keep(name: string, owner: string): boolean {
    const row = this.#store.get(name);
    if (row?.owner === owner && row.place === "here") return true;
    // It says by itself where agents are, and again what it has lost.
    if (this.#store.homesBeat === true) return true;
    const kept = this.#store.update(name, (found) =>
      found !== undefined && found.owner !== owner
        ? found
        : { kind: "http", ...found, owner, place: "here", bye: false, lapsesAtMs: Number.POSITIVE_INFINITY },
    );
    return kept !== undefined && (kept.owner !== owner || kept.place === "here");
  }

  /**
   * The last agent left: the name stays its owner's for `ttlMs` more. `bye`: the agent said goodbye, and is not
   * expected back. Idempotent, and ignored where an agent of the name has come to another process since.
   */
  leave(name: string, nowMs: number, { bye }: { readonly bye: boolean } = { bye: false }): void {
    // Who is cut off because this process ends was here when it ended, and belongs to the next one.
    const place = this.#ending && !bye ? "elsewhere" : "away";
    const lapsesAtMs = nowMs + this.#options.ttlMs;
    this.#store.update(name, (row) =>
      row?.place === "here" ? { ...row, place, leftAtMs: nowMs, bye, lapsesAtMs } : row,
    );
  }

  /** The public port that is the name's, as long as the name is its owner's. */
  portOf(name: string, kind: Kind): number | undefined {
    const row = this.#store.get(name);
    return row?.kind === kind ? row.port : undefined;
  }

  /** Names with a public port whose agents an earlier process had, or lost, and are expected back. */
  awaitedPorts(): readonly { readonly name: string; readonly owner: string; readonly kind: Kind }[] {
    return this.#store.withPort().flatMap((name) => {
      const facts = this.lookup(name);
      return facts === undefined || this.awaitedSince(name) === undefined ? [] : [{ ...facts, name }];
    });
  }

  /** The name of this owner that has the public port; false: it is somebody else's. Undefined: nobody's. */
  portHolder(kind: Kind, port: number, owner: string, nowMs: number): string | false | undefined {
    const name = this.#store.holder(kind, port);
    const row = name === undefined ? undefined : this.#store.get(name);
    if (name === undefined || row === undefined || hasLapsed(row, nowMs)) return undefined;
    return row.owner === owner && name;
  }

  /**
   * Gives a claimed name the public port. A port of a name that has lapsed, or of the same owner's without an agent, is
   * taken from it. false: the port is in use by another name, or the store can't write.
   */
  givePort(name: string, kind: Kind, port: number, nowMs: number): boolean {
    const holder = this.#store.holder(kind, port);
    if (holder === name) return true;
    if (holder !== undefined) {
      const row = this.#store.get(holder);
      const owner = this.#store.get(name)?.owner;
      if (row !== undefined && !hasLapsed(row, nowMs) && (row.owner !== owner || row.place !== "away"))
        return false;
      this.dropPort(holder, port);
    }
    const kept = this.#store.update(name, (row) => (row?.kind === kind ? { ...row, port } : row));
    return kept?.port === port && kept.kind === kind;
  }

  /** The name has this public port no more. */
  dropPort(name: string, port: number): void {
    this.#store.update(name, (row) => (row?.port === port ? withoutPort(row) : row));
  }

  /** Undefined for a name that nobody claimed, or that was recycled. */
  lookup(name: string): NameFacts | undefined {
    const row = this.#store.get(name);
    if (row === undefined) return undefined;
    const { owner, kind, place, leftAtMs, bye } = row;
    return { owner, kind, live: place === "here", ...(leftAtMs !== undefined && { leftAtMs, bye }) };
  }

  /**
   * Since when an agent is away that is expected back, as it never said goodbye: since it was lost, or since the start
   * of this process when it was with an earlier one. Undefined while one is here, and where none is expected.
   */
  awaitedSince(name: string): number | undefined {
    const facts = this.lookup(name);
    return facts === undefined || facts.live || facts.bye === true ? undefined : facts.leftAtMs;
  }

  /** Recycles what has lapsed, and says how many. The owner of the object calls it now and then. */
  sweep(nowMs: number): number {
    return this.#store.sweep(nowMs);
  }

  /** At the start, and now and then: names whose agents are or were with another process have the ttl from now. */
  inherit(nowMs: number): void {
    this.#store.inherit(nowMs + Math.max(this.#options.ttlMs, minInheritedMs));
  }

  /** From now on an agent that leaves without a goodbye leaves because this process ends: the next one awaits it. */
  end(): void {
    this.#ending = true;
  }

  #grant(
    name: string,
    owner: string,
    nowMs: number,
    change: (row: NameRow | undefined) => NameRow | undefined,
  ): void {
    const kept = this.#withRoom(name, owner, nowMs, () => this.#store.update(name, change));
    if (kept?.owner !== owner)
      throw new UnderpassError("internal-error", "The relay can't keep a new name at the moment.");
  }

  /** Does what gives a name away: again, where there are too many, once those that have lapsed are gone. */
  #withRoom<T>(name: string, owner: string, nowMs: number, give: () => T): T {
    if (owner === "") throw new UnderpassError("unauthorized", "A name needs an owner.");
    if (!isName(name)) throw new UnderpassError("name-invalid");
    try {
      return give();
    } catch (error) {
      const isFull = error instanceof UnderpassError && error.code === "too-many-requests";
      if (!isFull || this.#store.sweep(nowMs) === 0) throw error;
      return give();
    }
  }

  #claimed(row: NameRow | undefined, owner: string, kind: Kind, nowMs: number): NameRow {
    const known = row !== undefined && !hasLapsed(row, nowMs) ? row : undefined;
    if (known === undefined) {
      if (this.#isFull(owner)) {
        throw new UnderpassError(
          "too-many-requests",
          "The relay holds as many names as it may. Try again later.",
        );
      }
      return { owner, kind, place: "away", bye: false, lapsesAtMs: this.#lapse(undefined, nowMs) };
    }
    if (known.owner !== owner) throw new UnderpassError("name-taken");
    const lapsesAtMs = Math.max(known.lapsesAtMs, this.#lapse(known.leftAtMs, nowMs));
    // A public port belongs to a name of its own kind.
    const { port, ...rest } = known;
    return { ...rest, kind, lapsesAtMs, ...(port !== undefined && kind === known.kind && { port }) };
  }

  #lapse(leftAtMs: number | undefined, nowMs: number): number {
    const { ttlMs } = this.#options;
    return nowMs + (leftAtMs === undefined ? Math.min(ttlMs, maxReservationMs) : ttlMs);
  }

  #isFull(owner: string): boolean {
    const { maxNames, maxNamesPerOwner = maxNames } = this.#options;
    return this.#store.size >= maxNames || this.#store.countOf(owner) >= maxNamesPerOwner;
  }

  #draw(): string {
    for (let draw = 0; draw < maxDraws; draw++) {
      const name = randomName(this.#options.random);
      if (this.#store.get(name) === undefined) return name;
    }
    throw new UnderpassError("too-many-requests", "No free random name was found.");
  }
}

function hasLapsed({ place, lapsesAtMs }: NameRow, nowMs: number): boolean {
  return place !== "here" && lapsesAtMs <= nowMs;
}

function isHome(row: NameRow | undefined, owner: string, kind: Kind): boolean {
  return row?.place === "here" && row.owner === owner && row.kind === kind;
}

/** The same while an agent is here. */
function here({ owner, kind, port }: NameRow): NameRow {
  const at = port === undefined ? {} : { port };
  return { owner, kind, ...at, place: "here", bye: false, lapsesAtMs: Number.POSITIVE_INFINITY };
}

function withoutPort({ port: _, ...row }: NameRow): NameRow {
  return row;
}
