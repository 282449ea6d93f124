import type {
  FoundName,
  NameEntry,
  PortClaim,
  PortRegistry,
  Registry,
  RegistryWatcher,
} from "../../relay/cluster/registry.ts";

/** A registry in this process, which can be made to fail, and to say nothing at all. It tells nothing by itself. */
export class MemoryRegistry implements Registry {
  readonly found = new Map<string, FoundName>();
  readonly claims = new Map<string, PortClaim>();
  readonly told = new Set<(name: string, found: FoundName | undefined) => void>();
  readonly emptied = new Set<() => void>();
  isBroken = false;
  isSilent = false;
  reads = 0;
  writes = 0;
  private age = 1;
  private revision = 0;

  async claim(name: string, entry: NameEntry): Promise<string | undefined> {
    await this.mayWrite();
    return this.found.has(name) ? undefined : this.set(name, entry);
  }

  async renew(name: string, entry: NameEntry, revision: string): Promise<string | undefined> {
    await this.mayWrite();
    return this.found.get(name)?.revision === revision ? this.set(name, entry) : undefined;
  }

  async release(name: string, revision: string): Promise<boolean> {
    await this.mayWrite();
    if (this.found.get(name)?.revision !== revision) return false;
    this.found.delete(name);
    for (const tell of this.told) tell(name, undefined);
    return true;
  }

  async lookUp(name: string): Promise<FoundName | undefined> {
    this.reads++;
    await this.mayAnswer();
    return structuredClone(this.found.get(name));
  }

  readonly ports: PortRegistry = {
    claim: async (kind, port, name) => {
      await this.mayWrite();
      const key = `${kind}.${port}`;
      const claim = this.claims.get(key) ?? { name, revision: this.next() };
      this.claims.set(key, claim);
      return claim;
    },
    renew: async (kind, port, { name, revision }) => {
      await this.mayWrite();
      const key = `${kind}.${port}`;
      if (this.claims.get(key)?.revision !== revision) return false;
      this.claims.set(key, { name, revision: this.next() });
      return true;
    },
    release: async (kind, port, { revision }) => {
      await this.mayWrite();
      const key = `${kind}.${port}`;
      if (this.claims.get(key)?.revision === revision) this.claims.delete(key);
    },
  };

  /** Another stands there, whoever wrote it. */
  set(name: string, entry: NameEntry): string {
    const found = { entry: structuredClone(entry), revision: this.next() };
    this.found.set(name, found);
    for (const tell of this.told) tell(name, found);
    return found.revision;
  }

  /** It was begun anew, with nothing in it. */
  empty(): void {
    this.found.clear();
    this.claims.clear();
    this.age++;
    this.revision = 0;
    for (const tell of this.emptied) tell();
  }

  close(): void {}

  private next(): string {
    return `${this.age} ${++this.revision}`;
  }

  private async mayWrite(): Promise<void> {
    this.writes++;
    await this.mayAnswer();
  }

  private async mayAnswer(): Promise<void> {
    if (this.isBroken) throw new Error("out of reach");
    if (this.isSilent) await new Promise(() => {});
  }
}

/** One relay's way to it, which tells all names, and can be cut, or be slow. */
export class WatchedRegistry implements Registry {
  readonly ports: PortRegistry;
  /** What is asked waits for `step`, once before it is done and once after. */
  isSlow = false;
  /** What is told waits for `tell`. */
  isLate = false;
  isCut = false;
  private watcher: RegistryWatcher | undefined;
  private readonly waiting: (() => void)[] = [];
  private untold: [string, FoundName | undefined][] = [];

  constructor(readonly store: MemoryRegistry) {
    const { ports } = store;
    this.ports = {
      claim: (...port) => this.ask(() => ports.claim(...port)),
      renew: (...port) => this.ask(() => ports.renew(...port)),
      release: (...port) => this.ask(() => ports.release(...port)),
    };
    store.told.add((name, found) => this.hear(name, found));
    store.emptied.add(() => this.tellAll());
  }

  claim(...name: Parameters<Registry["claim"]>): ReturnType<Registry["claim"]> {
    return this.ask(() => this.store.claim(...name));
  }
  renew(...name: Parameters<Registry["renew"]>): ReturnType<Registry["renew"]> {
    return this.ask(() => this.store.renew(...name));
  }
  release(...name: Parameters<Registry["release"]>): ReturnType<Registry["release"]> {
    return this.ask(() => this.store.release(...name));
  }
  lookUp(name: string): ReturnType<Registry["lookUp"]> {
    return this.ask(() => this.store.lookUp(name));
  }

  watch(watcher: RegistryWatcher): void {
    this.watcher = watcher;
    this.tellAll();
  }

  cut(): void {
    this.isCut = true;
    this.watcher?.lost();
  }

  heal(): void {
    this.isCut = false;
    this.tellAll();
  }

  /** One of those that wait goes on. false: none does. */
  step(): boolean {
    const next = this.waiting.shift();
    next?.();
    return next !== undefined;
  }

  /** Tells the first of what is untold. */
  tell(): boolean {
    const [name, found] = this.untold.shift() ?? [];
    if (name !== undefined) this.watcher?.changed(name, found);
    return name !== undefined;
  }

  close(): void {}

  private hear(name: string, found: FoundName | undefined): void {
    if (this.isCut) return;
    this.untold.push([name, structuredClone(found)]);
    if (!this.isLate) while (this.tell());
  }

  private tellAll(): void {
    if (this.isCut) return;
    this.untold = [];
    this.watcher?.begun();
    for (const [name, found] of this.store.found) this.watcher?.changed(name, structuredClone(found));
    this.watcher?.complete();
  }

  private async ask<T>(run: () => Promise<T>): Promise<T> {
    await this.pause();
    if (this.isCut) throw new Error("out of reach");
    const answer = await run();
    await this.pause();
    if (this.isCut) throw new Error("out of reach");
    return answer;
  }

  private async pause(): Promise<void> {
    if (this.isSlow) await new Promise<void>((go) => this.waiting.push(go));
  }
}
