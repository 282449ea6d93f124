import type { Clock } from "../../shared/clock.ts";
import type { Kind } from "../../shared/kind.ts";
import type { ArrivingAgent } from "../cluster/name-entry.ts";
import { agentsAt, arrive, depart, differences, rejoin, retaken } from "../cluster/name-entry.ts";
import type { FoundName, NameEntry, Registry } from "../cluster/registry.ts";
import type { GivenPlace } from "../session-home.ts";
import type { NameRow, NameStore } from "../store.ts";
import { Arriving } from "./arriving.ts";
import { Departed } from "./departed.ts";
import { type Known, KnownNames } from "./known-names.ts";
import { NameRows } from "./name-rows.ts";
import { NameSweep } from "./name-sweep.ts";
import { NameWrites, type StandingChange } from "./name-writes.ts";
import type { NamesWatcher } from "./names-watcher.ts";
import { PortClaims } from "./port-claims.ts";
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
  /** Visitors' names that are not told yet. */
  maxAsked: 4_096,
} as const;

/**
 * Names that relay processes share by a registry, as a store that answers at once from what it knows: what it is told,
 * or, where the registry tells nothing, what it has looked up. So whoever claims a name waits for `load` before it and for
 * `commit` after it, and an agent waits for `arrive`; all else is written behind.
 */
export class SharedNames implements NameStore {
  watcher: NamesWatcher | undefined;
  readonly homesBeat = true;
  readonly #options: SharedNamesOptions;
  readonly #rows: NameRows;
  readonly #known: KnownNames;
  readonly #asks: RegistryAsks;
  readonly #writes: NameWrites;
  readonly #sweep: NameSweep;
  readonly #departed: Departed;
  /** Names under way. */
  readonly #readings = new Map<string, Promise<boolean>>();
  /** Names that visitors asked for before all were told. */
  readonly #asked = new Set<string>();
  #isTold: boolean;
  readonly #arriving = new Arriving();
  #isLeaving = false;
  readonly #allTold = Promise.withResolvers<void>();

  constructor(options: SharedNamesOptions) {
    const { registry, clock, process, ttlMs, isAlive, fault } = options;
    this.#options = options;
    this.#rows = new NameRows({ clock, relay: process, ttlMs, isAlive });
    this.#known = new KnownNames(registry.watch !== undefined);
    this.#asks = new RegistryAsks({ clock, fault, recovered: () => this.#writes.retry() });
    const ports = new PortClaims({ registry, asks: this.#asks, nowMs: () => clock.now() });
    this.#writes = new NameWrites({
      ...{ registry, asks: this.#asks, known: this.#known, relay: process, ports },
      told: (name, { before, after }) => this.#departed.note(name, before, after),
      stands: (name, change) => this.#stands(name, change),
    });
    const [known, writes, rows] = [this.#known, this.#writes, this.#rows];
    this.#sweep = new NameSweep({ known, writes, rows, relay: process, ttlMs, beats: isAlive === undefined });
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
    this.#writes.retry();
    return this.#sweep.run(nowMs, { isTold: this.#isTold });
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

  /** An agent has said HELLO here, and the relays are agreeing on its place. */
  isArriving(name: string): boolean {
    return this.#arriving.has(name);
  }

  /** What an agent at this relay has of the name; undefined: nothing, or no more. */
  placeOf({ name, instance }: Pick<ArrivingAgent, "name" | "instance">): GivenPlace | undefined {
    const entry = this.#known.get(name)?.entry;
    const place = agentsAt(entry, this.#options.process).find((agent) => agent.instance === instance);
    return place && entry && { generation: place.generation, exclusive: entry.exclusive };
  }

  /** The last session of this agent here has ended. `bye`: it is not expected back. `keepsPlace`: this relay ends, not the agent. */
  depart(name: string, instance: string, how: { readonly bye: boolean; readonly keepsPlace: boolean }): void {
    const { clock, ttlMs, process: relay } = this.#options;
    if (agentsAt(this.#known.get(name)?.entry, relay).length === 0) return;
    const leftAt = this.#rows.dateOf(clock.now());
    const departure = { relay, instance, ...how, leftAt, lapsesAt: leftAt + ttlMs };
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
    for (const name of [...this.#known.at(relay)]) this.watcher?.changed(name);
  }

  /** This process ends: who has agents here is awaited at the others from now on, wherever they come, as what they were. */
  leave(): void {
    const { clock, ttlMs, process: relay } = this.#options;
    const leftAt = this.#rows.dateOf(clock.now());
    this.#isLeaving = true;
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
    const { clock, process: relay } = this.#options;
    const { name, instance } = agent;
    this.#makeRoom(name);
    this.#arriving.add(name, instance);
    try {
      await this.#writes.put(name, (entry) => {
        const { beatAt: nowAt, lapsesAt } = this.#rows.beat();
        const held = entry !== undefined && !this.#rows.hasLapsed(entry, clock.now()) ? entry : undefined;
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
      this.#arriving.remove(name, instance);
      return place;
    } catch (error) {
      this.#arriving.remove(name, instance);
      // It may have been written all the same.
      this.#mend(name);
      throw error;
    }
  }

  // What the registry tells.

  #begun(): void {
    this.#asks.isCut = false;
    this.#known.telling++;
  }

  #told(name: string, found: FoundName | undefined): void {
    if (found !== undefined && this.#known.isFull && this.#known.get(name) === undefined) return;
    if (found === undefined && this.#known.get(name) === undefined) return;
    this.#writes.learn(name, found);
  }

  #complete(): void {
    this.#isTold = true;
    this.#allTold.resolve();
    for (const [name, known] of [...this.#known.all()])
      if (known.told !== this.#known.telling && known.revision !== undefined) this.#missing(name, known);
    this.#writes.retry();
    for (const name of this.#asked) this.watcher?.changed(name);
    this.#asked.clear();
  }

  /** The registry has lost the name. What has agents at other relays that live is theirs to claim again. */
  #missing(name: string, known: Known): void {
    const { entry } = known;
    known.revision = undefined;
    if (entry === undefined || this.#rows.hasLapsed(entry, this.#options.clock.now()))
      return this.#writes.learn(name, undefined);
    if (this.#row(entry)?.place !== "elsewhere") this.#sweep.claimAgain(name, entry);
  }

  #stands(name: string, { before, after, isAnew = false }: StandingChange): void {
    const { clock } = this.#options;
    this.#departed.note(name, before, after);
    if (isAnew && before && after)
      this.watcher?.fenced(name, retaken(before, after, this.watcher.here?.(name) ?? []));
    this.#mend(name, before);
    if (!this.#known.knowsAll) {
      const known = this.#of(name);
      known.told = clock.now();
      const isOthers = after?.owner !== known.countedFor || this.#row(after)?.place === "elsewhere";
      if (isOthers) this.#known.count(name, known, undefined);
    }
    this.watcher?.changed(name);
  }

  /**
   * Who is here and what stands are made one: who has lost the name is told; who is here and not said to be (others took
   * this relay for dead), or said to be and not here (a write that failed was none), is said again.
   */
  #mend(name: string, before?: NameEntry): void {
    const { process: relay } = this.#options;
    const agents = this.watcher?.here?.(name);
    const entry = this.#writes.standing(name);
    if (agents === undefined || this.#isLeaving) return;
    if (entry === undefined) {
      if (before !== undefined && agents.length > 0) this.#sweep.claimAgain(name, before);
      return;
    }
    const { owner } = entry;
    const { isFenced, missing, said } = differences(entry, agents, relay);
    if (isFenced) this.watcher?.fenced(name, entry);
    if (missing.length > 0)
      this.#writes.add(name, (found) => (found?.owner === owner ? rejoin(found, missing, relay) : found));
    for (const instance of said)
      if (!this.#arriving.includes(name, instance))
        this.depart(name, instance, { bye: false, keepsPlace: false });
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
        this.watcher?.changed(name);
        return false;
      } finally {
        this.#readings.delete(name);
        known.told = clock.now();
      }
    };
    const reading = this.#readings.get(name) ?? look();
    this.#readings.set(name, reading);
    return reading;
  }
}
