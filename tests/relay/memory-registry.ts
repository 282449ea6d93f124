import type { FoundName, NameEntry, Registry } from "../../relay/registry.ts";

/** A registry in this process, which can be made to fail, and to say nothing at all. */
export class MemoryRegistry implements Registry {
  readonly found = new Map<string, FoundName>();
  isBroken = false;
  isSilent = false;
  reads = 0;
  writes = 0;
  private revision = 0;

  async read(name: string): Promise<FoundName | undefined> {
    this.reads++;
    await this.mayAnswer();
    return this.found.get(name);
  }

  async write(name: string, entry: NameEntry, revision: string | undefined): Promise<string | undefined> {
    this.writes++;
    await this.mayAnswer();
    if (this.found.get(name)?.revision !== revision) return undefined;
    const next = String(++this.revision);
    this.found.set(name, { entry: structuredClone(entry), revision: next });
    return next;
  }

  close(): void {}

  private async mayAnswer(): Promise<void> {
    if (this.isBroken) throw new Error("out of reach");
    if (this.isSilent) await new Promise(() => {});
  }
}
