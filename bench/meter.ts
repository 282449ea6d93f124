import { readFileSync, writeFileSync } from "node:fs";
import type { Target } from "./contenders/contender.ts";

/** What one process of a contender cost while a workload ran. */
export interface Cost {
  readonly role: string;
  /** User and system time of all its threads. */
  readonly cpuSeconds: number;
  /** Highest resident set since the measurement began, where the kernel lets the mark be reset; else since the start. */
  readonly peakRssMiB: number;
}

/** Linux reports CPU time in these whatever the kernel's own tick is (`getconf CLK_TCK`). */
const ticksPerSecond = 100;

/** Costs of a target's processes between `startMeter` and the call of what it returns. Linux only; none elsewhere. */
export function startMeter({ processes }: Target): () => Cost[] {
  if (process.platform !== "linux") return () => [];
  const before = processes.map(({ pid }) => {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, "5"); // resets VmHWM (proc_pid_clear_refs(5))
    } catch {
      // Not allowed for another user's process: the peak is then that of its whole life.
    }
    return cpuSeconds(pid);
  });
  return () =>
    processes.map(({ role, pid }, index) => ({
      role,
      cpuSeconds: cpuSeconds(pid) - (before[index] ?? 0),
      peakRssMiB: peakRssMiB(pid),
    }));
}

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name may hold spaces
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function peakRssMiB(pid: number): number {
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1] ?? 0) / 1024;
}
