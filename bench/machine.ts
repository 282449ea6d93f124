import { spawnSync } from "node:child_process";
import { cpus, loadavg, release, totalmem, type } from "node:os";

/** Where and with what the figures were made. Nothing that names the machine itself. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly bun: string;
  readonly nginx: string;
  readonly wrk: string;
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
    bun: Bun.version,
    nginx: firstMatch(["nginx", "-v"], /nginx\/([\d.]+)/),
    wrk: firstMatch(["wrk", "-v"], /wrk \S*?([\d.]+)/),
    commit: firstMatch(["git", "rev-parse", "--short", "HEAD"], /([0-9a-f]+)/),
    date: new Date().toISOString().slice(0, 16),
    loadBefore: loadavg()[0] ?? 0,
  };
}

function firstMatch([program = "", ...args]: readonly string[], pattern: RegExp): string {
  const { stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  return pattern.exec(`${stdout ?? ""}${stderr ?? ""}`)?.[1] ?? "absent";
}
