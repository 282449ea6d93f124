import type { Clock } from "../../shared/clock.ts";
import type { Kind } from "../../shared/kind.ts";
import { agentsAt, arrive, bury, depart, hasRelays, reclaim, rejoin } from "../cluster/name-entry.ts";
import type { AgentPlace, FoundName, NameEntry, Registry } from "../cluster/registry.ts";
import type { GivenPlace } from "../session-home.ts";
import type { NameRow, NameStore } from "../store.ts";
import { Departed } from "./departed.ts";
import { type Known, KnownNames } from "./known-names.ts";
import { NameRows } from "./name-rows.ts";
import { NameWrites, type StandingChange } from "./name-writes.ts";
import { askLimits, outOfReach, RegistryAsks } from "./registry-asks.ts";

export interface SharedNamesOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  /** Unlike that of any other process, before or beside this one. */
  readonly process: string;
  /** How long a name stays its owner's after the last sign of an agent. */
  readonly ttlMs: number;
  /** The registry can't be read or written; told once until it can again. */
  readonly fault: (error: Error) => void;
  /** Whether another relay lives. Absent, where relays don't tell of themselves: each says so of each of its names, each minute. */
  readonly isAlive?: (relay: string) => boolean;
}

export const sharedLimits = {
  /** Where names are looked up: so long is believed what was read, and so soon a visitor learns that his agent came to another relay. */
  believedMs: 2_000,
  /** At the end: what was written last is to get out, but a process may have little time left. */
  closeWithinMs: 300,
  /** Names that lapsed or lost their relays, written in one sweep. */
  maxSwept: 1_000,
  /** Visitors' names that are not told yet. */
  maxAsked: 4_096,
} as const;

/** An agent at a relay of the cluster, as HELLO tells of it. */
export interface ArrivingAgent {
  readonly name: string;
  readonly owner: string;
  readonly kind: Kind;
  readonly instance: string;
  readonly join: boolean;
}

/** What becomes known of names: who waits for it can be told. */
export interface SharedNamesWatcher {
  /** Something is known of the name that was not, or a relay with agents of it has died, or is back. */
  changed(name: string): void;
  /** Sessions here of another owner, or of a generation below `exclusive`, have lost the name. */
  fenced(name: string, owner: string, exclusive: number): void;
}

/**
 * Names that relay processes share by a registry, as a store that answers at once from what it knows: what it is told,
 * or, where the registry tells nothing, what it has looked up. So whoever claims a name waits for `load` before it and for
 * `commit` after it, and an agent waits for `arrive`; all else is written behind.
 */
export class SharedNames implements NameStore {
  watcher: SharedNamesWatcher = { changed() {}, fenced() {} };
  readonly homesBeat = true;
  readonly #options: SharedNamesOptions;
  readonly #rows: NameRows;
  readonly #known: KnownNames;
  readonly #asks: RegistryAsks;
  readonly #writes: NameWrites;
  readonly #departed: Departed;
  /** Names under way. */
  readonly #readings = new Map<string, Promise<boolean>>();
  /** Names that visitors asked for before all were told. */
  readonly #asked = new Set<string>();
  #telling = 0;
  #isTold: boolean;
  readonly #allTold = Promise.withResolvers<void>();

  constructor(options: SharedNamesOptions) {
    const { registry, clock, process, ttlMs, isAlive, fault } = options;
    this.#options = options;
    this.#rows = new NameRows({ clock, relay: process, ttlMs, isAlive });
    this.#known = new KnownNames(registry.watch !== undefined);
    this.#asks = new RegistryAsks({ clock, fault, recovered: () => this.#writes.retry() });
    this.#writes = new NameWrites({
      ...{ registry, asks: this.#asks, known: this.#known, relay: process },
      nowAt: () => clock.date(),
      stands: (name, change) => this.#stands(name, change),
    });
    this.#departed = new Departed(clock);
    this.#isTold = registry.watch === undefined;
    registry.watch?.({
      begun: () => this.#begun(),
      changed: (name, found) => this.#told(name, found),
      complete: () => this.#complete(),
      lost: () => {
        this.#asks.isCut = true;
      },
    });
  }

  // NameStore. Where names are looked up a process knows some of others only: those that were claimed here are counted.

  get size(): number {
    return this.#known.isFull ? Number.POSITIVE_INFINITY : this.#known.size;
  }

  countOf(owner: string): number {
    return this.#known.countOf(owner);
  }

  get(name: string): NameRow | undefined {
    return this.#row(this.#known.get(name)?.entry);
  }

  holder(kind: Kind, port: number): string | undefined {
    return this.#known.holder(kind, port);
  }

  withPort(): readonly string[] {
    return this.#known.withPort();
  }

  update(name: string, change: (row: NameRow | undefined) => NameRow | undefined): NameRow | undefined {
    this.#makeRoom(name);
    const before = this.#known.get(name)?.entry;
    this.#writes.add(name, (entry) => {
      const before = this.#row(entry);
      const row = change(before);
      return row === before || row === undefined ? entry : this.#rows.entry(row, entry);
    });
    const known = this.#known.get(name);
    if (known?.entry !== before) this.#countIt(name);
    return this.#row(known?.entry);
  }

  /** Says of the names with agents here that they still are, where that tells who lives; forgets what lapsed. What could not be written is tried again. */
  sweep(nowMs: number): number {
    const { process, isAlive } = this.#options;
    this.#writes.retry();
    if (isAlive === undefined)
      for (const name of [...this.#known.at(process)])
        if (!this.#writes.has(name))
          this.#writes.add(name, (entry) =>
            agentsAt(entry, process).length > 0 && entry ? { ...entry, ...this.#rows.beat() } : entry,
          );
    let removed = 0;
    let written = 0;
    for (const [name, known] of this.#known.all()) {
      const { entry } = known;
      if (entry === undefined || this.#writes.has(name)) continue;
      if (this.#rows.hasLapsed(entry)) {
        if (!this.#known.knowsAll && known.countedFor === undefined) continue;
        if (!this.#known.knowsAll) this.#known.forget(name);
        else if (written++ < sharedLimits.maxSwept)
          this.#writes.add(name, (found) => (found && this.#rows.hasLapsed(found) ? undefined : found));
        else continue;
        removed++;
      } else if (this.#known.knowsAll && known.revision === undefined && this.#isTold)
        this.#claimAgain(name, entry);
      else if (hasRelays(entry.agents) && this.#isLongLost(entry, nowMs) && written++ < sharedLimits.maxSwept)
        this.#writes.add(name, (found) =>
          found && this.#isLongLost(found, nowMs) ? this.#buried(found) : found,
        );
    }
    this.#rows.forgetUnless((relay) => this.#known.hasAny(relay));
    return removed;
  }

  /** Whether another process is still there is told otherwise. */
  inherit(): void {}

  // What takes its time.

  /** Sees to it that what is known of the name is true, unless its agents are here. Rejects with `registry-unreachable`. */
  async load(name: string): Promise<void> {
    const { process } = this.#options;
    if (agentsAt(this.#known.get(name)?.entry, process).length > 0) return;
    if (!this.#known.knowsAll) {
      if (!(await this.#read(name))) throw outOfReach();
      return;
    }
    if (!this.#isTold) {
      const { clock } = this.#options;
      const late = Promise.withResolvers<void>();
      const cancel = clock.at(clock.now() + askLimits.answersWithinMs, late.resolve);
      await Promise.race([this.#allTold.promise, late.promise]);
      cancel();
    }
    if (!this.#isTold || this.#asks.isCut) throw outOfReach();
  }

  /** Resolves when what was changed of the name is written. Rejects with what the changes throw where another relay was quicker (`name-taken`), or with `registry-unreachable`. */
  commit(name: string): Promise<void> {
    return this.#writes.commit(name);
  }

  /**
   * An agent says HELLO for a fresh session: its place among those of the name, at once where it has one at this relay.
   * Rejects with `name-taken`, `superseded`, `kind-forbidden`, `too-many-links` or `registry-unreachable`.
   */
  arrive(agent: ArrivingAgent): GivenPlace | Promise<GivenPlace> {
    const { name, owner, kind } = agent;
    const known = this.#known.get(name)?.entry;
    const isHome = known?.owner === owner && known.kind === kind && !this.#writes.isAwaited(name);
    return (isHome ? this.placeOf(agent) : undefined) ?? this.#arrive(agent);
  }

  /** What an agent at this relay has of the name; undefined: nothing, or no more. */
  placeOf({ name, instance }: Pick<ArrivingAgent, "name" | "instance">): GivenPlace | undefined {
    const entry = this.#known.get(name)?.entry;
    const place = agentsAt(entry, this.#options.process).find((agent) => agent.instance === instance);
    return place && entry && { generation: place.generation, exclusive: entry.exclusive };
  }

  /** The last session of this agent here has ended. `bye`: it is not expected back. */
  depart(name: string, instance: string, { bye }: { readonly bye: boolean }): void {
    const { clock, ttlMs, process: relay } = this.#options;
    if (agentsAt(this.#known.get(name)?.entry, relay).length === 0) return;
    const leftAt = this.#rows.dateOf(clock.now());
    const departure = { relay, instance, bye, keepsPlace: false, leftAt, lapsesAt: leftAt + ttlMs };
    this.#writes.add(name, (entry) => entry && depart(entry, departure));
  }

  /** The other relays that live and have agents of this name, as far as is known. */
  relaysOf(name: string): readonly string[] {
    const entry = this.#known.get(name)?.entry;
    return entry === undefined ? [] : this.#rows.relaysOf(entry);
  }

  isElsewhere(name: string): boolean {
    return this.relaysOf(name).length > 0;
  }

  /** Nothing is known of the name, as it can't be read. */
  isInDoubt(name: string): boolean {
    const known = this.#known.get(name);
    return known?.entry === undefined && (known?.failed === true || !this.#isTold);
  }

  /**
   * What is known of the name is too old, or nothing is: it is read, and `watcher` is told. For who finds no agent here, be
   * it that they were here a moment ago. Never so where all names are told.
   */
  looksUp(name: string): boolean {
    if (this.#known.knowsAll) {
      if (!this.#isTold && this.#asked.size < sharedLimits.maxAsked) this.#asked.add(name);
      return !this.#isTold;
    }
    if (this.#options.clock.now() - this.#of(name).told < sharedLimits.believedMs) return false;
    if (!this.#asks.isBusy) void this.#read(name);
    return true;
  }

  /** That relay is dead: its agents are lost, from now on. */
  nodeDied(relay: string): void {
    this.#rows.died(relay);
    this.nodeChanged(relay);
  }

  /** It was believed dead, and lives. */
  nodeChanged(relay: string): void {
    for (const name of [...this.#known.at(relay)]) this.watcher.changed(name);
  }

  /** This process ends: who has agents here is awaited at the others from now on, wherever they come, as what they were. */
  leave(): void {
    const { clock, ttlMs, process: relay } = this.#options;
    const leftAt = this.#rows.dateOf(clock.now());
    const departure = { relay, bye: false, keepsPlace: true, leftAt, lapsesAt: leftAt + ttlMs };
    for (const name of [...this.#known.at(relay)])
      this.#writes.add(name, (entry) => entry && depart(entry, departure));
  }

  /** Writes what is still to be written, as far as that goes at once. */
  async close(): Promise<void> {
    const { clock, registry } = this.#options;
    const late = Promise.withResolvers<void>();
    const cancel = clock.at(clock.now() + sharedLimits.closeWithinMs, late.resolve);
    await Promise.race([this.#writes.settled(), late.promise]);
    cancel();
    this.#asks.close();
    registry.close();
  }

  async #arrive(agent: ArrivingAgent): Promise<GivenPlace> {
    const { process: relay } = this.#options;
    const { name, instance } = agent;
    this.#makeRoom(name);
    await this.#writes.put(name, (entry) => {
      const { beatAt: nowAt, lapsesAt } = this.#rows.beat();
      const held = entry !== undefined && !this.#rows.hasLapsed(entry) ? entry : undefined;
      return arrive(held, entry, {
        ...{ ...agent, relay, nowAt, lapsesAt },
        remembered: this.#departed.generationOf(name, instance),
        isAlive: (other) => entry !== undefined && this.#rows.isAlive(other, entry),
      });
    });
    this.#countIt(name);
    const place = this.placeOf(agent);
    // It was written, and lost again in the same turn.
    if (place === undefined) throw outOfReach();
    return place;
  }

  // What the registry tells.

  #begun(): void {
    this.#asks.isCut = false;
    this.#telling++;
  }

  #told(name: string, found: FoundName | undefined): void {
    if (found !== undefined && this.#known.isFull && this.#known.get(name) === undefined) return;
    if (found === undefined && this.#known.get(name) === undefined) return;
    if (found !== undefined) this.#known.of(name).told = this.#telling;
    this.#writes.learn(name, found);
  }

  #complete(): void {
    this.#isTold = true;
    this.#allTold.resolve();
    for (const [name, known] of [...this.#known.all()])
      if (known.told !== this.#telling && known.revision !== undefined) this.#missing(name, known);
    this.#writes.retry();
    for (const name of this.#asked) this.watcher.changed(name);
    this.#asked.clear();
  }

  /** The registry has lost the name. What has agents at other relays that live is theirs to claim again. */
  #missing(name: string, known: Known): void {
    const { entry } = known;
    known.revision = undefined;
    if (entry === undefined || this.#rows.hasLapsed(entry)) return this.#writes.learn(name, undefined);
    if (this.#row(entry)?.place !== "elsewhere") this.#claimAgain(name, entry);
  }

  #claimAgain(name: string, ours: NameEntry): void {
    const { process } = this.#options;
    this.#writes.addFirst(name, (found) => reclaim(ours, found, process));
  }

  #stands(name: string, { before, after, isOurs }: StandingChange): void {
    const { process, clock } = this.#options;
    this.#departed.note(name, before, after);
    const had = agentsAt(before, process);
    const hasLost = had.some(({ generation }) => generation < (after?.exclusive ?? 0));
    if (after !== undefined && had.length > 0 && (hasLost || after.owner !== before?.owner))
      this.watcher.fenced(name, after.owner, after.exclusive);
    if (!isOurs) this.#mend(name, before, after);
    if (!this.#known.knowsAll) {
      const known = this.#of(name);
      known.told = clock.now();
      const isOthers = after?.owner !== known.countedFor || this.#row(after)?.place === "elsewhere";
      if (isOthers) this.#known.count(name, known, undefined);
    }
    this.watcher.changed(name);
  }

  /** Others may have taken this relay for dead, or a write that failed was none: what is here, and what is not, is said again. */
  #mend(name: string, before: NameEntry | undefined, after: NameEntry | undefined): void {
    const { process } = this.#options;
    const [had, has] = [agentsAt(before, process), agentsAt(after, process)];
    if (after === undefined) {
      if (before !== undefined && had.length > 0) this.#claimAgain(name, before);
      return;
    }
    const isIn = (places: typeof had, { instance }: AgentPlace) =>
      places.some((place) => place.instance === instance);
    const { owner, exclusive } = after;
    const missing = had.filter((place) => place.generation >= exclusive && !isIn(has, place));
    if (owner === before?.owner && missing.length > 0)
      this.#writes.add(name, (entry) => (entry?.owner === owner ? rejoin(entry, missing, process) : entry));
    // Of one that is just arriving this may be told before it is known that it was written.
    if (this.#writes.isAwaited(name)) return;
    for (const place of has) if (!isIn(had, place)) this.depart(name, place.instance, { bye: false });
  }

  #of(name: string): Known {
    this.#makeRoom(name);
    return this.#known.of(name);
  }

  #makeRoom(name: string): void {
    if (this.#known.knowsAll || this.#known.get(name) !== undefined) return;
    this.#known.makeRoom((other) => this.#writes.has(other) || this.#readings.has(other));
  }

  /** Where names are looked up, those count that were claimed here. */
  #countIt(name: string): void {
    const known = this.#known.get(name);
    if (!this.#known.knowsAll && known?.entry !== undefined)
      this.#known.count(name, known, known.entry.owner);
  }

  #row(entry: NameEntry | undefined): NameRow | undefined {
    return entry === undefined ? undefined : this.#rows.row(entry);
  }

  #isLongLost(entry: NameEntry, nowMs: number): boolean {
    if (!this.#known.knowsAll) return false;
    const lostMs = this.#rows.lostMs(entry);
    return lostMs !== undefined && nowMs - lostMs >= Departed.rememberedMs;
  }

  #buried(entry: NameEntry): NameEntry {
    const leftAt = this.#rows.dateOf(this.#rows.lostMs(entry) ?? 0);
    return bury(entry, { leftAt, lapsesAt: leftAt + this.#options.ttlMs });
  }

  /** false: it can't be read now, and what was known goes on to be believed. */
  #read(name: string): Promise<boolean> {
    const { clock, registry } = this.#options;
    const known = this.#of(name);
    const look = async () => {
      try {
        const found = await this.#asks.ask(() => registry.lookUp(name));
        known.failed = false;
        // What was changed meanwhile is being written, which settles it.
        if (!this.#writes.has(name)) this.#writes.learn(name, found);
        return true;
      } catch {
        // Told as a fault already.
        known.failed = true;
        return false;
      } finally {
        this.#readings.delete(name);
        known.told = clock.now();
        this.watcher.changed(name);
      }
    };
    const reading = this.#readings.get(name) ?? look();
    this.#readings.set(name, reading);
    return reading;
  }
}
