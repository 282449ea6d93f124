import { describe, expect, test } from "bun:test";
import { ConfigWatch, watchLimits } from "../../agent/config/watch.ts";
import { turn } from "./fleet-bench.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** A disk with one file, and what is watched on it. */
class Disk {
  readonly clock = new VirtualClock();
  /** undefined: there is none. */
  text: string | undefined = "one";
  folders = ["/etc/underpass"];
  readonly watched = new Map<number, string>();
  reads = 0;
  blindOf: string | undefined;
  readonly told: string[] = [];
  readonly watch: ConfigWatch;
  readonly #changed = new Map<number, () => void>();

  constructor() {
    this.watch = new ConfigWatch("one", {
      path: "/etc/underpass/underpass.yaml",
      clock: this.clock,
      files: {
        read: async () => {
          this.reads++;
          if (this.text === undefined) throw new Error("no file");
          return this.text;
        },
        folders: async () => this.folders,
        watch: (folder, changed) => {
          if (folder === this.blindOf) throw new Error("no watches left");
          const id = this.#changed.size;
          this.watched.set(id, folder);
          this.#changed.set(id, changed);
          return () => void this.watched.delete(id);
        },
      },
      onText: (text, { asked }) => void this.told.push(asked ? `asked ${text}` : text),
      onUnreadable: () => void this.told.push("unreadable"),
      onBlind: () => void this.told.push("blind"),
    });
  }

  static async started(): Promise<Disk> {
    const disk = new Disk();
    await disk.watch.start();
    return disk;
  }

  /** Something happens in a folder. */
  stir(folder = this.folders[0]): void {
    for (const [id, each] of this.watched) if (each === folder) this.#changed.get(id)?.();
  }

  async passes(ms: number): Promise<void> {
    this.clock.advance(ms);
    await turn();
    await turn();
  }
}

describe("the watch of underpass.yaml", () => {
  test("tells a new text once the folder is quiet", async () => {
    const disk = await Disk.started();
    disk.text = "tw";
    disk.stir();
    await disk.passes(watchLimits.quietMs - 1);
    disk.text = "two";
    disk.stir();
    await disk.passes(watchLimits.quietMs - 1);
    expect(disk.told).toEqual([]);
    await disk.passes(1);
    expect(disk.told).toEqual(["two"]);
  });

  test("looks at last where the folder is never quiet", async () => {
    const disk = await Disk.started();
    disk.text = "two";
    for (let ms = 0; ms < watchLimits.latestMs; ms += 100) {
      disk.stir();
      expect(disk.told).toEqual([]);
      await disk.passes(100);
    }
    expect(disk.told).toEqual(["two"]);
  });

  test("says nothing of what leaves the text as it was", async () => {
    const disk = await Disk.started();
    disk.stir();
    await disk.passes(watchLimits.quietMs);
    expect(disk.told).toEqual([]);
    expect(disk.reads).toBe(2);
  });

  test("sees a change that came before it began", async () => {
    const disk = new Disk();
    disk.text = "two";
    await disk.watch.start();
    expect(disk.told).toEqual(["two"]);
  });

  test("tells a file that is gone once, and the same text when it is back", async () => {
    const disk = await Disk.started();
    disk.text = undefined;
    for (let times = 0; times < 2; times++) {
      disk.stir();
      await disk.passes(watchLimits.quietMs);
    }
    expect(disk.told).toEqual(["unreadable"]);
    disk.text = "one";
    disk.stir();
    await disk.passes(watchLimits.quietMs);
    expect(disk.told).toEqual(["unreadable", "one"]);
  });

  test("follows a link to where it leads now", async () => {
    const disk = await Disk.started();
    disk.folders = ["/etc/underpass", "/etc/underpass/..2026"];
    disk.text = "two";
    disk.stir();
    await disk.passes(watchLimits.quietMs);
    disk.text = "three";
    disk.stir("/etc/underpass/..2026");
    await disk.passes(watchLimits.quietMs);
    expect(disk.told).toEqual(["two", "three"]);
    expect([...disk.watched.values()]).toEqual(["/etc/underpass", "/etc/underpass/..2026"]);
  });

  test("when asked it reads and tells, the same text too, and a file that is gone each time", async () => {
    const disk = await Disk.started();
    disk.watch.look();
    await turn();
    disk.text = undefined;
    disk.watch.look();
    disk.watch.look();
    await turn();
    expect(disk.told).toEqual(["asked one", "unreadable", "unreadable"]);
  });

  test("where nothing can be watched says so, and still reads when asked", async () => {
    const disk = new Disk();
    disk.blindOf = "/etc/underpass";
    await disk.watch.start();
    disk.text = "two";
    disk.watch.look();
    await turn();
    expect(disk.told).toEqual(["blind", "asked two"]);
  });

  test("closed, it watches and tells nothing more", async () => {
    const disk = await Disk.started();
    disk.text = "two";
    disk.stir();
    disk.watch.close();
    await disk.passes(watchLimits.quietMs);
    expect(disk.told).toEqual([]);
    expect(disk.watched.size).toBe(0);
  });
});
