import type { FoundName, NameEntry, Registry } from "../../relay/registry.ts";

/** A registry in this process, which can be made to fail, and to answer only when it is told to. */
export class MemoryRegistry implements Registry {
  readonly found = new Map<string, FoundName>();
  isBroken = false;
  reads = 0;
  writes = 0;
  private revision = 0;

  async read(name: string): Promise<FoundName | undefined> {
    this.reads++;
    if (this.isBroken) throw new Error("out of reach");
    return this.found.get(name);
  }

  async write(name: string, entry: NameEntry, revision: string | undefined): Promise<string | undefined> {
    this.writes++;
    if (this.isBroken) throw new Error("out of reach");
    if (this.found.get(name)?.revision !== revision) return undefined;
    const next = String(++this.revision);
    this.found.set(name, { entry: structuredClone(entry), revision: next });
    return next;
  }

  close(): void {}
}
