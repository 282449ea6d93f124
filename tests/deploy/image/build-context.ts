import { cp } from "node:fs/promises";
import { join, relative } from "node:path";

/**
 * What a build gets to see of `root`, copied to `target`. `ignore` is the text of a .dockerignore that names what is in
 * (`*`, then `!PATH`) and what is out of that again (`**` and a name); any other line throws.
 */
export async function copyContext(root: string, target: string, ignore: string): Promise<void> {
  const lines = ignore.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  if (lines.shift() !== "*") throw new Error(".dockerignore does not begin with *");
  const names = new Set<string>();
  for (const line of lines) {
    const [, path, name] = /^(?:!([\w./-]+)|\*\*\/([\w.-]+))$/.exec(line) ?? [];
    if (path !== undefined) {
      if (names.size > 0) throw new Error(`.dockerignore: ${line} after what is out`);
      await cp(join(root, path), join(target, path), {
        recursive: true,
        filter: (source) => !isOut(relative(root, source), lines),
      });
    } else if (name !== undefined) names.add(name);
    else throw new Error(`.dockerignore: ${line} is not known here`);
  }
}

/** Whether a part of `path` is a name that is out everywhere. */
function isOut(path: string, lines: readonly string[]): boolean {
  return path.split("/").some((part) => lines.includes(`**/${part}`));
}
