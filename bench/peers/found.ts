import { existsSync } from "node:fs";
import { join } from "node:path";

/** Where `bun run bench:peers` puts what it installs; git ignores it. */
export const peerFolder = join(import.meta.dir, "../../.cache/bench-peers");

/** Where a program is: among what `bun run bench:peers` installed, else on the PATH; undefined: nowhere. */
export function findProgram(name: string): string | undefined {
  for (const folder of ["bin", "cargo/bin"]) {
    const path = join(peerFolder, folder, name);
    if (existsSync(path)) return path;
  }
  return Bun.which(name) ?? undefined;
}

/** Why a contender that needs these can't take part, or undefined. */
export async function absentWithout(...names: readonly string[]): Promise<string | undefined> {
  const missing = names.filter((name) => findProgram(name) === undefined);
  return missing.length === 0
    ? undefined
    : `${missing.join(" and ")} not installed (bun run bench:peers says how)`;
}
