import type { FoundName, NameEntry, PortRegistry, Registry, RegistryWatcher } from "./registry.ts";

/** Of those that the registry took; the rest was too late, or it was out of reach. */
export interface RegistryCounts {
  claims: number;
  renewals: number;
  releases: number;
}

/** A registry, and how much was written there: what a cluster's size is up to. */
export class CountedRegistry implements Registry {
  readonly watch?: (watcher: RegistryWatcher) => void;
  readonly ports?: PortRegistry;

  constructor(
    private readonly registry: Registry,
    private readonly counts: RegistryCounts,
  ) {
    if (registry.ports !== undefined) this.ports = registry.ports;
    if (registry.watch !== undefined) this.watch = (watcher) => registry.watch?.(watcher);
  }

  async claim(name: string, entry: NameEntry): Promise<string | undefined> {
    const revision = await this.registry.claim(name, entry);
    if (revision !== undefined) this.counts.claims++;
    return revision;
  }

  async renew(name: string, entry: NameEntry, revision: string): Promise<string | undefined> {
    const renewed = await this.registry.renew(name, entry, revision);
    if (renewed !== undefined) this.counts.renewals++;
    return renewed;
  }

  async release(name: string, revision: string): Promise<boolean> {
    const done = await this.registry.release(name, revision);
    if (done) this.counts.releases++;
    return done;
  }

  lookUp(name: string): Promise<FoundName | undefined> {
    return this.registry.lookUp(name);
  }

  close(): void {
    this.registry.close();
  }
}
