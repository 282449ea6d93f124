import type { Kind } from "../../shared/kind.ts";
import type { NameEntry } from "../cluster/registry.ts";

export const knownLimits = {
  /** Of all that a registry tells: above it no more are known, and none can be claimed. */
  maxNames: 1_000_000,
  /** Names that visitors asked for, and others have or nobody, where each is looked up. */
  maxOthers: 20_000,
  /** Texts that are kept once for all entries. */
  maxTexts: 16_384,
} as const;

/** What is known of a name here. Some hundred thousand of them are, so this is all there is of most. */
export class Known {
  /** As it was told last, with what was changed here since; undefined: nobody has the name. */
  entry: NameEntry | undefined;
  /** Of what was told; undefined: the registry has nothing of it. */
  revision: string | undefined;
  /** The telling in which it was told last, or, where it is looked up, when it was. */
  told = Number.NEGATIVE_INFINITY;
  /** The last try to look it up. */
  failed = false;
  /** Whose it counts for. */
  countedFor: string | undefined;
}

/** All names that are known here, by name, by port and by relay. */
export class KnownNames {
  readonly #names = new Map<string, Known>();
  /** Those that may be forgotten, where not all are told: the longest known first. */
  readonly #others = new Set<string>();
  readonly #counts = new Map<string, number>();
  readonly #byRelay = new Map<string, Set<string>>();
  readonly #holders = new Map<string, string>();
  readonly #texts = new Map<string, string>();
  readonly #lists = new Map<string, readonly string[]>();
  #counted = 0;
  /** All names were told so often. */
  telling = 0;

  /** `knowsAll`: the registry tells of all names, so that all of them count. */
  constructor(readonly knowsAll: boolean) {}

  /** The names that count. */
  get size(): number {
    return this.#counted;
  }
  get isFull(): boolean {
    return this.#names.size >= knownLimits.maxNames;
  }
  countOf(owner: string): number {
    return this.#counts.get(owner) ?? 0;
  }
  get(name: string): Known | undefined {
    return this.#names.get(name);
  }
  all(): Iterable<[string, Known]> {
    return this.#names;
  }
  /** The names of which a relay has agents. */
  at(relay: string): Iterable<string> {
    return this.#byRelay.get(relay) ?? [];
  }
  hasAny(relay: string): boolean {
    return this.#byRelay.has(relay);
  }
  holder(kind: Kind, port: number): string | undefined {
    return this.#holders.get(`${kind} ${port}`);
  }
  withPort(): readonly string[] {
    return [...this.#holders.values()];
  }

  of(name: string): Known {
    const found = this.#names.get(name);
    if (found !== undefined) return found;
    const known = new Known();
    this.#names.set(name, known);
    if (!this.knowsAll) this.#others.add(name);
    return known;
  }

  /** Makes room where names are looked up: the longest known that do not count go, but for those that are `kept`. */
  makeRoom(kept: (name: string) => boolean): void {
    for (const name of this.#others) {
      if (this.#others.size < knownLimits.maxOthers) break;
      if (!kept(name)) this.forget(name);
    }
  }

  set(name: string, known: Known, entry: NameEntry | undefined): void {
    const before = known.entry;
    if (before === entry) return;
    known.entry = entry === undefined ? undefined : this.#shared(entry);
    if (before?.agents !== known.entry?.agents) this.#moved(name, before, known.entry);
    if (before?.port !== undefined) this.#drop(name, before.kind, before.port);
    if (entry?.port !== undefined) this.#holders.set(`${entry.kind} ${entry.port}`, name);
    if (this.knowsAll) this.count(name, known, known.entry?.owner);
  }

  /** From now on the name counts for this owner; undefined: for nobody, and it may be forgotten. */
  count(name: string, known: Known, owner: string | undefined): void {
    const { countedFor } = known;
    if (countedFor === owner) return;
    if (countedFor !== undefined) this.#add(countedFor, -1);
    if (owner !== undefined) this.#add(owner, 1);
    known.countedFor = owner;
    if (this.knowsAll) return;
    if (owner === undefined) this.#others.add(name);
    else this.#others.delete(name);
  }

  forget(name: string): void {
    const known = this.#names.get(name);
    if (known === undefined) return;
    this.set(name, known, undefined);
    this.count(name, known, undefined);
    this.#names.delete(name);
    this.#others.delete(name);
  }

  #add(owner: string, more: 1 | -1): void {
    this.#counted += more;
    const count = this.countOf(owner) + more;
    if (count > 0) this.#counts.set(owner, count);
    else this.#counts.delete(owner);
  }

  #drop(name: string, kind: Kind, port: number): void {
    const key = `${kind} ${port}`;
    if (this.#holders.get(key) === name) this.#holders.delete(key);
  }

  #moved(name: string, before: NameEntry | undefined, after: NameEntry | undefined): void {
    const gone = new Set(before?.agents.flatMap(({ relays }) => relays));
    for (const { relays } of after?.agents ?? [])
      for (const relay of relays) {
        if (gone.delete(relay)) continue;
        const names = this.#byRelay.get(relay);
        if (names === undefined) this.#byRelay.set(relay, new Set([name]));
        else names.add(name);
      }
    for (const relay of gone) {
      const names = this.#byRelay.get(relay);
      names?.delete(name);
      if (names?.size === 0) this.#byRelay.delete(relay);
    }
  }

  /** The same with texts and lists that others have, too: what was read is new text each time. Measured: 536 bytes a name of 100,000. */
  #shared(entry: NameEntry): NameEntry {
    const { kind, generation, exclusive, beatAt, bye, lapsesAt, port, leftAt } = entry;
    const owner = this.#text(entry.owner);
    const agents = entry.agents.map((place) => ({
      instance: place.instance,
      generation: place.generation,
      relays: this.#list(place.relays),
    }));
    const lean = { owner, kind, agents, generation, exclusive, beatAt, bye, lapsesAt };
    if (port === undefined && leftAt === undefined) return lean;
    return { ...lean, ...(port !== undefined && { port }), ...(leftAt !== undefined && { leftAt }) };
  }

  #text(text: string): string {
    const found = this.#texts.get(text);
    if (found !== undefined) return found;
    if (this.#texts.size >= knownLimits.maxTexts) this.#texts.clear();
    this.#texts.set(text, text);
    return text;
  }

  #list(relays: readonly string[]): readonly string[] {
    const key = relays.join(" ");
    const found = this.#lists.get(key);
    if (found !== undefined) return found;
    if (this.#lists.size >= knownLimits.maxTexts) this.#lists.clear();
    const list = relays.map((relay) => this.#text(relay));
    this.#lists.set(key, list);
    return list;
  }
}
