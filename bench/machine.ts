import { spawnSync } from "node:child_process";
import { cpus, loadavg, release, totalmem, type } from "node:os";
import { findProgram } from "./peers/found.ts";
import { recipes } from "./peers/recipes.ts";

/** Where and with what the figures were made. Nothing that names the machine itself. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  /** Bun, peers and load generators, with their versions; only those that are there. */
  readonly programs: Readonly<Record<string, string>>;
  readonly commit: string;
  readonly date: string;
  /** Load average of the minute before: figures of a busy machine are to be read with care. */
  readonly loadBefore: number;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    programs: describePrograms(),
    commit: firstMatch(["git", "rev-parse", "--short", "HEAD"], /([0-9a-f]+)/),
    date: new Date().toISOString().slice(0, 16),
    loadBefore: loadavg()[0] ?? 0,
  };
}

function describePrograms(): Record<string, string> {
  const found: Record<string, string> = { Bun: Bun.version };
  for (const recipe of recipes) {
    const { name, ask } = recipe;
    const program = findProgram(recipe.program ?? name);
    if (program === undefined) continue;
    const built = "module" in recipe ? recipe.version : undefined;
    if (built !== undefined) found[name] = built;
    else if (ask !== undefined)
      found[name] = firstMatch([program, ask], /(\d+\.\d+(?:\.\d+|p\d+)?)(?![\d.])\b/);
  }
  return found;
}

function firstMatch([program = "", ...args]: readonly string[], pattern: RegExp): string {
  const { stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  return pattern.exec(`${stdout ?? ""}${stderr ?? ""}`)?.[1] ?? "absent";
}
