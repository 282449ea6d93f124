import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { FoundName, NameEntry, Registry } from "../registry.ts";
import type { NameRow, NameStore } from "../store.ts";

export interface SharedNamesOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  /** Unlike that of any other process, before or beside this one. */
  readonly process: string;
  /** How long a name stays its owner's after the last sign of an agent. */
  readonly ttlMs: number;
  /** The registry can't be read or written; told once until it can again. */
  readonly fault: (error: Error) => void;
}

export const sharedLimits = {
  /** A home says each minute that it is there (`sweep`); one that missed two of them, and what clocks differ by, is gone. */
  aliveMs: 150_000,
  /** What was read is believed so long: so soon a visitor learns that his agent came to another relay. */
  believedMs: 2_000,
  /** Names that visitors asked for, and others have or nobody. */
  maxOthers: 20_000,
  /** Reads and writes at once; so many more wait, and the rest fails at once. */
  maxUnderWay: 64,
  maxWaiting: 4_096,
  /** A registry that does not say within it that it failed has failed. What it does later is found by the next write. */
  answersWithinMs: 5_000,
  /** Of one write, each after another relay was quicker. */
  maxTries: 8,
  /** Of one name, while the registry can't be written: then only what came of them is kept. */
  maxChanges: 32,
  /** At the end: what was written last is to get out, but a process may have little time left. */
  closeWithinMs: 300,
} as const;

type Change = (row: NameRow | undefined) => NameRow | undefined;

/** What is known of a name here. */
class Known {
  /** As it was read last, with what was changed here since; undefined: nobody has the name. */
  entry: NameEntry | undefined;
  revision: string | undefined;
  readMs = Number.NEGATIVE_INFINITY;
  /** The last try to read it. */
  failed = false;
  /** Made here, and not written yet. */
  changes: Change[] = [];
  reading: Promise<boolean> | undefined;
  writing: Promise<void> | undefined;
  /** Whose it counts for: who claimed it here. undefined: it is one of the others. */
  countedFor: string | undefined;
}

/**
 * Names that relay processes share by a registry, as a store that answers at once: from what it has read before. So
 * whoever claims a name waits for `load` before it and for `commit` after it; all else is written behind.
 */
export class SharedNames implements NameStore {
  /** A name was read: who waits for it can be told. */
  onRead: (name: string) => void = () => {};
  readonly #options: SharedNamesOptions;
  readonly #own = new Map<string, Known>();
  /** The longest known first. */
  readonly #others = new Map<string, Known>();
  readonly #counts = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;
  #failing = false;
  #closed = false;

  constructor(options: SharedNamesOptions) {
    this.#options = options;
  }

  readonly homesBeat = true;

  // NameStore. Of names of others a process knows some only: those that were claimed here are counted.

  get size(): number {
    return this.#own.size;
  }

  countOf(owner: string): number {
    return this.#counts.get(owner) ?? 0;
  }

  get(name: string): NameRow | undefined {
    return this.#row(this.#find(name)?.entry);
  }

  update(name: string, change: Change): NameRow | undefined {
    const known = this.#of(name);
    const before = this.#row(known.entry);
    const row = change(before);
    if (row === before || row === undefined) return before;
    known.entry = this.#entry(row, known.entry);
    known.changes.push(change);
    if (known.changes.length > sharedLimits.maxChanges) this.#gather(known);
    this.#count(name, known, row.owner);
    this.#writeLater(name, known);
    return this.#row(known.entry);
  }

  /** Says of the names with agents here that they still are; forgets what lapsed. What could not be written is tried again. */
  sweep(nowMs: number): number {
    let removed = 0;
    for (const [name, known] of this.#own) {
      if (this.#isHome(known)) {
        if (known.changes.length > 0) this.#writeLater(name, known);
        else this.update(name, (row) => (row?.place === "here" ? { ...row } : row));
      } else if (this.#time(known.entry?.lapsesAt ?? 0) <= nowMs) {
        this.#count(name, known, undefined);
        this.#others.delete(name);
        removed++;
      } else if (known.changes.length > 0) this.#writeLater(name, known);
    }
    return removed;
  }

  /** Public ports are a relay's own, and of no use at another. */
  holder(): undefined {}
  withPort(): readonly string[] {
    return [];
  }
  /** Whether another process is still there is told by its beats. */
  inherit(): void {}

  // What takes its time.

  /** Reads the name, unless its agents are here. Rejects with `internal-error` where that fails. */
  async load(name: string): Promise<void> {
    const known = this.#of(name);
    if (!this.#isHome(known) && !(await this.#read(name, known))) throw outOfReach();
  }

  /**
   * Resolves when what was changed of the name is written. Rejects with what the changes throw where another relay was
   * quicker (`name-taken`), or with `internal-error`.
   */
  async commit(name: string): Promise<void> {
    await this.#find(name)?.writing;
  }

  /** Another process has agents of this name, as far as is known. */
  isElsewhere(name: string): boolean {
    return this.get(name)?.place === "elsewhere";
  }

  /** Nothing is known of the name, as it can't be read. */
  isInDoubt(name: string): boolean {
    const known = this.#find(name);
    return known?.failed === true && known.entry === undefined;
  }

  /**
   * What is known of the name is too old, or nothing is: it is read, and `onRead` tells of it. For who finds no agent here,
   * be it that they were here a moment ago.
   */
  looksUp(name: string): boolean {
    const known = this.#of(name);
    const { believedMs, maxUnderWay } = sharedLimits;
    if (this.#options.clock.now() - known.readMs < believedMs) return false;
    if (this.#underWay < maxUnderWay) void this.#read(name, known);
    return true;
  }

  /** This process ends: who has agents here is awaited at the others from now on, wherever they come. */
  leave(): void {
    const { clock, ttlMs } = this.#options;
    const leftAtMs = clock.now();
    for (const [name, known] of this.#own)
      if (this.#isHome(known))
        this.update(name, (row) =>
          row?.place === "here" ? { ...row, place: "away", leftAtMs, lapsesAtMs: leftAtMs + ttlMs } : row,
        );
  }

  /** Writes what is still to be written, as far as that goes at once. */
  async close(): Promise<void> {
    const { clock, registry } = this.#options;
    const writing = [...this.#own.values()].map((known) => known.writing?.catch(() => {}));
    const late = Promise.withResolvers<void>();
    const cancel = clock.at(clock.now() + sharedLimits.closeWithinMs, late.resolve);
    await Promise.race([Promise.all(writing), late.promise]);
    cancel();
    this.#closed = true;
    registry.close();
  }

  #isHome({ entry }: Known): boolean {
    return entry?.home === this.#options.process;
  }

  #find(name: string): Known | undefined {
    return this.#own.get(name) ?? this.#others.get(name);
  }

  #of(name: string): Known {
    const found = this.#find(name);
    if (found !== undefined) return found;
    for (const [oldest, { reading, writing }] of this.#others) {
      if (this.#others.size < sharedLimits.maxOthers) break;
      if (reading === undefined && writing === undefined) this.#others.delete(oldest);
    }
    const known = new Known();
    this.#others.set(name, known);
    return known;
  }

  #count(name: string, known: Known, owner: string | undefined): void {
    const { countedFor } = known;
    if (countedFor === owner) return;
    if (countedFor !== undefined) this.#add(countedFor, -1);
    if (owner !== undefined) this.#add(owner, 1);
    known.countedFor = owner;
    const [from, to] = owner === undefined ? [this.#own, this.#others] : [this.#others, this.#own];
    from.delete(name);
    to.set(name, known);
  }

  #add(owner: string, more: 1 | -1): void {
    const count = this.countOf(owner) + more;
    if (count > 0) this.#counts.set(owner, count);
    else this.#counts.delete(owner);
  }

  /** false: it can't be read now, and what was known goes on to be believed. */
  #read(name: string, known: Known): Promise<boolean> {
    known.reading ??= this.#readOnce(name, known).finally(() => {
      known.reading = undefined;
      known.readMs = this.#options.clock.now();
      this.onRead(name);
    });
    return known.reading;
  }

  async #readOnce(name: string, known: Known): Promise<boolean> {
    try {
      const found = await this.#ask((registry) => registry.read(name));
      known.failed = false;
      // What was changed meanwhile is being written, which settles it.
      if (known.changes.length === 0) this.#learn(name, known, found);
      return true;
    } catch {
      // Told as a fault already.
      known.failed = true;
      return false;
    }
  }

  #learn(name: string, known: Known, found: FoundName | undefined): void {
    known.entry = found?.entry;
    known.revision = found?.revision;
    known.readMs = this.#options.clock.now();
    const { owner, home = "" } = found?.entry ?? {};
    const isOthers = owner !== known.countedFor || (home !== "" && home !== this.#options.process);
    if (isOthers) this.#count(name, known, undefined);
  }

  #writeLater(name: string, known: Known): void {
    if (known.writing !== undefined) return;
    const writing = this.#write(name, known).finally(() => {
      known.writing = undefined;
    });
    // Who waits for it hears of it (`commit`); of what nobody waits for, the sweep tries again.
    writing.catch(() => {});
    known.writing = writing;
  }

  async #write(name: string, known: Known): Promise<void> {
    for (let tries = 0; known.changes.length > 0; tries++) {
      if (tries === sharedLimits.maxTries) throw outOfReach();
      const { revision, changes } = known;
      const row = this.#row(known.entry);
      // Each write of a home says that it is there.
      if (row?.place === "here") known.entry = this.#entry(row, known.entry);
      const { entry } = known;
      if (entry === undefined) return;
      const count = changes.length;
      const written = await this.#ask((registry) => registry.write(name, entry, revision));
      if (written === undefined) {
        const found = await this.#ask((registry) => registry.read(name));
        this.#doAgain(name, known, found);
        continue;
      }
      known.revision = written;
      known.readMs = this.#options.clock.now();
      // They may have been gathered meanwhile.
      if (known.changes === changes) changes.splice(0, count);
      tries = -1;
    }
  }

  /** In the place of many changes what came of them, for whoever has the name still. */
  #gather(known: Known): void {
    const row = this.#row(known.entry);
    known.changes = [(found) => (found === undefined || found.owner === row?.owner ? row : found)];
  }

  /** Another relay was quicker: what was changed here is changed in what it wrote. Throws what a change does. */
  #doAgain(name: string, known: Known, found: FoundName | undefined): void {
    const { changes } = known;
    known.changes = [];
    this.#learn(name, known, found);
    for (const change of changes) {
      const before = this.#row(known.entry);
      const row = change(before);
      if (row === before || row === undefined) continue;
      known.entry = this.#entry(row, known.entry);
      known.changes.push(change);
      this.#count(name, known, row.owner);
    }
  }

  async #ask<T>(run: (registry: Registry) => Promise<T>): Promise<T> {
    const { clock, registry } = this.#options;
    const { maxUnderWay, maxWaiting, answersWithinMs } = sharedLimits;
    if (this.#underWay < maxUnderWay) this.#underWay++;
    else if (this.#waiting.length >= maxWaiting) throw outOfReach();
    else await new Promise<void>((go) => this.#waiting.push(go));
    const late = Promise.withResolvers<never>();
    const cancel = clock.at(clock.now() + answersWithinMs, () =>
      late.reject(new Error(`It did not answer within ${answersWithinMs} ms.`)),
    );
    try {
      const answer = await Promise.race([run(registry), late.promise]);
      this.#failing = false;
      return answer;
    } catch (cause) {
      if (!this.#failing && !this.#closed)
        this.#options.fault(cause instanceof Error ? cause : new Error(String(cause)));
      this.#failing = true;
      throw outOfReach();
    } finally {
      cancel();
      const next = this.#waiting.shift();
      if (next === undefined) this.#underWay--;
      else next();
    }
  }

  #row(entry: NameEntry | undefined): NameRow | undefined {
    if (entry === undefined) return undefined;
    const { clock, process } = this.#options;
    const { owner, kind, home, beatAt, bye } = entry;
    const lapsesAtMs = this.#time(entry.lapsesAt);
    const facts = { owner, kind, bye };
    if (home === process) return { ...facts, place: "here", lapsesAtMs: Number.POSITIVE_INFINITY };
    if (home !== "" && clock.date() - beatAt < sharedLimits.aliveMs)
      return { ...facts, place: "elsewhere", lapsesAtMs };
    // A home that has ended without a word did so after its last beat.
    const leftAt = home === "" ? entry.leftAt : beatAt;
    return {
      ...facts,
      place: "away",
      lapsesAtMs,
      ...(leftAt !== undefined && { leftAtMs: this.#time(leftAt) }),
    };
  }

  #entry(
    { owner, kind, place, bye, leftAtMs, lapsesAtMs }: NameRow,
    before: NameEntry | undefined,
  ): NameEntry {
    const { clock, process, ttlMs } = this.#options;
    const { generation = 0, beatAt = 0 } = before ?? {};
    const known = before?.home ?? "";
    if (place === "here") {
      const nowAt = Math.round(clock.date());
      const isNew = known !== process;
      return {
        ...{ owner, kind, home: process, bye, beatAt: nowAt },
        generation: isNew ? generation + 1 : generation,
        lapsesAt: nowAt + Math.max(ttlMs, sharedLimits.aliveMs),
      };
    }
    // Who had agents here when this process began to end leaves them to nobody: another relay will have them.
    const home = place === "elsewhere" && known !== process ? known : "";
    const leftAt = leftAtMs === undefined ? {} : { leftAt: this.#date(leftAtMs) };
    return { ...{ owner, kind, home, generation, beatAt, bye }, ...leftAt, lapsesAt: this.#date(lapsesAtMs) };
  }

  #date(ms: number): number {
    const { clock } = this.#options;
    return Math.round(ms + clock.date() - clock.now());
  }

  #time(date: number): number {
    const { clock } = this.#options;
    return date - clock.date() + clock.now();
  }
}

function outOfReach(): UnderpassError {
  return new UnderpassError("internal-error", "The store of names can't be reached at the moment.");
}
