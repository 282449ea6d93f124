import { UnderpassError } from "../../shared/errors.ts";
import { isLater, isSame, restate, withoutPort } from "../cluster/name-entry.ts";
import type { FoundName, NameEntry, Registry } from "../cluster/registry.ts";
import type { Known, KnownNames } from "./known-names.ts";
import type { PortClaims, WantedPort } from "./port-claims.ts";
import { outOfReach, type RegistryAsks } from "./registry-asks.ts";

export const writeLimits = {
  /** Names that are written at once. */
  maxUnderWay: 64,
  /** Of one write, each after another relay was quicker. */
  maxTries: 8,
  /** Of one name, while the registry can't be written: then only what came of them is kept. */
  maxChanges: 32,
} as const;

/** What is made of the entry that stands there; done again where another relay was quicker. Throws why it can't be. */
export type Change = (entry: NameEntry | undefined) => NameEntry | undefined;

interface Step {
  readonly change: Change;
  /** Somebody waits for it: it is dropped where it can't be written now. */
  readonly settle?: (error?: UnderpassError) => void;
}

/** Of a name that is not as the registry has it. */
interface Pending {
  base: FoundName | undefined;
  steps: Step[];
  /** A port that the entry may have been written with: its claim is to be renewed. */
  claimed: WantedPort | undefined;
  writing: Promise<void> | undefined;
  /** Why a change could not be done again. */
  error: UnderpassError | undefined;
}

export interface StandingChange {
  readonly before: NameEntry | undefined;
  readonly after: NameEntry | undefined;
  /** It was freed between the two, and taken by somebody who counts anew: as what comes later has a lower generation. */
  readonly isAnew?: boolean;
}

export interface NameWritesOptions {
  readonly registry: Registry;
  readonly asks: RegistryAsks;
  readonly known: KnownNames;
  readonly relay: string;
  readonly ports: PortClaims;
  /** The registry tells: before what was changed here is done again on top of it. */
  readonly told: (name: string, change: StandingChange) => void;
  /** What stands in the registry has changed: the entry before and after it, with what was changed here and nobody waits for. */
  readonly stands: (name: string, change: StandingChange) => void;
}

/** Changes of names that are known at once, and written behind: by compare-and-swap, again where another relay was quicker. */
export class NameWrites {
  readonly #options: NameWritesOptions;
  readonly #pending = new Map<string, Pending>();
  readonly #queue = new Map<string, () => void>();
  #underWay = 0;

  constructor(options: NameWritesOptions) {
    this.#options = options;
  }

  has(name: string): boolean {
    return this.#pending.has(name);
  }

  /** Somebody waits for a change of this name to be written. */
  isAwaited(name: string): boolean {
    return this.#pending.get(name)?.steps.some(({ settle }) => settle !== undefined) === true;
  }

  /** What is known to stand in the registry, with what was changed here and nobody waits for. */
  standing(name: string): NameEntry | undefined {
    const pending = this.#pending.get(name);
    return pending === undefined ? this.#options.known.get(name)?.entry : this.#settledOf(pending);
  }

  /** Throws what the change does, and then nothing has changed. */
  add(name: string, change: Change): void {
    this.#add(name, { change });
  }

  /** The registry has lost the name: `change` makes the entry that others are built on. */
  addFirst(name: string, change: Change): void {
    const known = this.#options.known.of(name);
    known.revision = undefined;
    const pending = this.#pending.get(name) ?? this.#begin(name, undefined);
    pending.base = undefined;
    pending.steps.unshift({ change });
    this.#fold(name, known, pending);
    this.#write(name, pending);
  }

  /** Resolves when the change is written. Rejects with what it throws, at once or when it is done again, or `registry-unreachable`. */
  put(name: string, change: Change): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const settle = (error?: UnderpassError) => (error === undefined ? resolve() : reject(error));
    try {
      this.#add(name, { change, settle });
    } catch (error) {
      reject(error);
    }
    return promise;
  }

  /** Resolves when all that was changed of the name is written. Rejects with what a change has thrown, or `registry-unreachable`. */
  async commit(name: string): Promise<void> {
    const pending = this.#pending.get(name);
    if (pending === undefined) return;
    this.#write(name, pending);
    await pending.writing;
  }

  /** Writes what could not be written before; where the registry fails, no more than tells whether it still does. */
  retry(): void {
    let tried = 0;
    for (const [name, pending] of this.#pending) {
      if (this.#options.asks.isFailing && tried++ >= writeLimits.maxUnderWay) break;
      this.#write(name, pending);
    }
  }

  /** Resolves when all that is being written is over, be it in vain. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#pending.values()].map(({ writing }) => writing));
  }

  /** This stands in the registry. What was changed here stays, on top of it. */
  learn(name: string, found: FoundName | undefined): void {
    const { known: names, told, stands } = this.#options;
    const known = names.of(name);
    // What comes late is old. In another telling the registry may be another, too.
    const isSameTelling = !names.knowsAll || known.told === names.telling;
    const { revision } = known;
    if (isSameTelling && found && revision !== undefined && !isLater(found.revision, revision)) return;
    if (names.knowsAll) known.told = names.telling;
    const pending = this.#pending.get(name);
    const before = pending === undefined ? known.entry : this.#settledOf(pending);
    const isLower = found !== undefined && before !== undefined && found.entry.generation < before.generation;
    const isAnew = isLower && revision !== undefined && isLater(found.revision, revision);
    told(name, { before, after: found?.entry });
    known.revision = found?.revision;
    if (pending === undefined) names.set(name, known, found?.entry);
    else {
      pending.base = found;
      this.#fold(name, known, pending);
    }
    const after = pending === undefined ? found?.entry : this.#settledOf(pending);
    stands(name, { before, after, isAnew });
    this.#forget(name);
  }

  #add(name: string, step: Step): void {
    const { known: names, relay } = this.#options;
    const { entry, revision } = names.get(name) ?? {};
    const next = step.change(entry);
    const pending = this.#pending.get(name);
    if (pending === undefined && entry === undefined && next === undefined) return step.settle?.();
    if (pending === undefined && isSame(next, entry) && revision !== undefined) return step.settle?.();
    const base = entry === undefined || revision === undefined ? undefined : { entry, revision };
    const kept = pending ?? this.#begin(name, base);
    kept.steps.push(step);
    names.set(name, names.of(name), next);
    if (kept.steps.length > writeLimits.maxChanges && kept.writing === undefined) {
      const awaited = kept.steps.filter(({ settle }) => settle !== undefined);
      const ours = this.#settledOf(kept);
      const gathered: Step[] = ours === undefined ? [] : [{ change: (found) => restate(ours, found, relay) }];
      kept.steps = [...gathered, ...awaited];
    }
    this.#write(name, kept);
  }

  #begin(name: string, base: FoundName | undefined): Pending {
    const pending: Pending = {
      ...{ base, steps: [], claimed: undefined, writing: undefined, error: undefined },
    };
    this.#pending.set(name, pending);
    return pending;
  }

  /** As it will be with all that nobody waits for. */
  #settledOf({ base, steps }: Pending): NameEntry | undefined {
    let entry = base?.entry;
    for (const { change, settle } of steps) {
      if (settle !== undefined) continue;
      try {
        entry = change(entry);
      } catch {
        // `#fold` says so.
      }
    }
    return entry;
  }

  /** Does the changes again; those that can't be are over. */
  #fold(name: string, known: Known, pending: Pending): void {
    let entry = pending.base?.entry;
    pending.steps = pending.steps.filter(({ change, settle }) => {
      try {
        entry = change(entry);
        return true;
      } catch (error) {
        const cause = error instanceof UnderpassError ? error : new UnderpassError("internal-error");
        if (settle === undefined) pending.error ??= cause;
        else settle(cause);
        return false;
      }
    });
    this.#options.known.set(name, known, entry);
  }

  /** Of a name that is nobody's nothing is kept, where all others are told. */
  #forget(name: string): void {
    const { known } = this.#options;
    if (known.knowsAll && !this.#pending.has(name) && known.get(name)?.entry === undefined)
      known.forget(name);
  }

  #write(name: string, pending: Pending): void {
    if (pending.writing !== undefined) return;
    const turn = new Promise<void>((go) => {
      if (this.#underWay < writeLimits.maxUnderWay) {
        this.#underWay++;
        go();
      } else this.#queue.set(name, go);
    });
    const writing = turn
      .then(() => this.#writeAll(name, pending))
      .finally(() => {
        pending.writing = undefined;
        pending.error = undefined;
        const [next] = this.#queue;
        if (next === undefined) this.#underWay--;
        else {
          this.#queue.delete(next[0]);
          next[1]();
        }
      });
    // Who waits for it hears of it (`commit`); of what nobody waits for, a sweep tries again.
    writing.catch(() => {});
    pending.writing = writing;
  }

  async #writeAll(name: string, pending: Pending): Promise<void> {
    try {
      let tries = 0;
      while (pending.steps.length > 0 || pending.claimed !== undefined) {
        if (tries++ === writeLimits.maxTries) throw outOfReach();
        if (await this.#writeOnce(name, pending)) tries = 0;
      }
    } catch (error) {
      const cause = error instanceof UnderpassError ? error : outOfReach();
      const awaited = pending.steps.filter(({ settle }) => settle !== undefined);
      pending.steps = pending.steps.filter(({ settle }) => settle === undefined);
      this.#fold(name, this.#options.known.of(name), pending);
      for (const { settle } of awaited) settle?.(cause);
      if (pending.steps.length === 0 && pending.claimed === undefined) this.#pending.delete(name);
      throw cause;
    }
    this.#pending.delete(name);
    this.#forget(name);
    if (pending.error !== undefined) throw pending.error;
  }

  /** false: another relay was quicker, and its entry is what stands now. */
  async #writeOnce(name: string, pending: Pending): Promise<boolean> {
    const { registry, asks, known: names, ports, stands } = this.#options;
    const known = names.of(name);
    if (pending.claimed !== undefined) await this.#renewClaim(pending, pending.claimed);
    const { base } = pending;
    const { entry } = known;
    const { telling } = names;
    const sent = new Set(pending.steps);
    let before = base?.entry;
    if (!isSame(entry, base?.entry)) {
      const wanted = newPort(name, entry, base?.entry);
      if (wanted !== undefined && !(await ports.claim(wanted))) {
        this.#dropPort(wanted);
        return true;
      }
      pending.claimed = wanted;
      const revision = await asks.ask(() => this.#swap(registry, name, entry, base));
      // In another telling the registry may be another, too: then what was written may be gone.
      if (revision === undefined || names.telling !== telling) {
        await this.#lookUp(name, known);
        return false;
      }
      before = this.#settledOf(pending);
      const isLast = known.revision === undefined || revision === "" || isLater(revision, known.revision);
      if (isLast) {
        known.revision = revision || undefined;
        if (names.knowsAll) known.told = telling;
        pending.base = entry && { entry, revision };
      }
      const freed = newPort(name, base?.entry, entry);
      if (freed !== undefined) ports.free(freed);
    }
    pending.steps = pending.steps.filter((step) => !sent.has(step));
    this.#fold(name, known, pending);
    for (const { settle } of sent) settle?.();
    stands(name, { before, after: this.#settledOf(pending) });
    return true;
  }

  /** What stands there is not what is known: unless more is told meanwhile, it is looked up. */
  async #lookUp(name: string, known: Known): Promise<void> {
    const { asks, registry } = this.#options;
    const { revision } = known;
    const found = await asks.ask(() => registry.lookUp(name));
    if (known.revision !== revision) return;
    known.revision = undefined;
    this.learn(name, found);
  }

  /** The revision of what stands then; "" for nothing; undefined: another stands there. */
  async #swap(
    registry: Registry,
    name: string,
    entry: NameEntry | undefined,
    base: FoundName | undefined,
  ): Promise<string | undefined> {
    if (entry !== undefined)
      return base === undefined ? registry.claim(name, entry) : registry.renew(name, entry, base.revision);
    return base === undefined || (await registry.release(name, base.revision)) ? "" : undefined;
  }

  /** The port is the name's by the claim that it was written with, as far as that is known; or it is dropped. */
  async #renewClaim(pending: Pending, claimed: WantedPort): Promise<void> {
    if (!(await this.#options.ports.renew(claimed))) this.#dropPort(claimed);
    pending.claimed = undefined;
  }

  /** Another name has it. */
  #dropPort({ name, port }: WantedPort): void {
    this.#add(name, { change: (found) => (found?.port === port ? withoutPort(found) : found) });
  }
}

/** The public port that the name has by `entry`, and had not by `before`. */
function newPort(
  name: string,
  entry: NameEntry | undefined,
  before: NameEntry | undefined,
): WantedPort | undefined {
  const { kind, port } = entry ?? {};
  if (kind === undefined || port === undefined) return undefined;
  return before?.port === port && before.kind === kind ? undefined : { name, kind, port };
}
