import { watch } from "node:fs";
import { readlink, realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { configText, maxConfigBytes } from "../config/config.ts";
import type { WatchedFiles } from "../config/watch.ts";

/** A link that leads to a link, and so on: further than this nobody follows. */
const maxLinks = 8;

/** The disk, as the watch of underpass.yaml needs it. */
export const configFiles: WatchedFiles = {
  read: async (path) =>
    configText(
      await Bun.file(path)
        .slice(0, maxConfigBytes + 1)
        .bytes(),
      path,
    ),

  async folders(path) {
    const folders = new Set<string>();
    let at = resolve(path);
    for (let links = 0; links < maxLinks; links++) {
      folders.add(dirname(at));
      try {
        at = resolve(dirname(at), await readlink(at));
      } catch {
        // No link, or nothing there: whatever comes there next, its folder sees it.
        break;
      }
    }
    try {
      // A folder on the way may be a link too.
      folders.add(dirname(await realpath(path)));
    } catch {
      // Nothing there now.
    }
    return [...folders];
  },

  watch(folder, changed) {
    const watcher = watch(folder, { persistent: false }, () => changed());
    // The folder itself went: what stands there afterwards is watched after the next look.
    watcher.on("error", () => changed());
    return () => watcher.close();
  },
};
