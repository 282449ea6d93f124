import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child, type ChildOptions } from "../child.ts";

/** The programs that one contender started, and a folder for their files. They end together. */
export class Crew {
  readonly #children: Child[] = [];

  private constructor(
    /** An absolute path. */
    readonly folder: string,
  ) {}

  static async gather(name: string): Promise<Crew> {
    return new Crew(await mkdtemp(join(tmpdir(), `underpass-bench-${name}-`)));
  }

  start(command: readonly string[], options: Omit<ChildOptions, "command"> = {}): Child {
    const child = new Child({ command, ...options });
    this.#children.push(child);
    return child;
  }

  /** Puts a file that only this user may read into the folder, and returns its path. */
  async file(name: string, text: string): Promise<string> {
    const path = join(this.folder, name);
    await Bun.write(path, text, { mode: 0o600 });
    return path;
  }

  /** The last one first. */
  async stop(): Promise<void> {
    for (const child of this.#children.toReversed()) await child.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
