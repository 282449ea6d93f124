import { readdirSync, readFileSync, writeFileSync } from "node:fs";
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

/**
 * Costs of a target's processes, and of those that they started (an sshd has one for each session), between
 * `startMeter` and the call of what it returns. Linux only; none elsewhere.
 */
export function startMeter({ processes }: Target): () => Cost[] {
  if (process.platform !== "linux") return () => [];
  const before = processes.map(({ pid }) => {
    for (const one of familyOf(pid)) forgetPeak(one);
    return cpuSeconds(pid);
  });
  return () =>
    processes.map(({ role, pid }, index) => ({
      role,
      cpuSeconds: cpuSeconds(pid) - (before[index] ?? 0),
      peakRssMiB: sum(familyOf(pid).map(peakRssMiB)),
    }));
}

/** Its own time, its living descendants', and that of those who have ended and were waited for. */
function cpuSeconds(pid: number): number {
  return sum(
    familyOf(pid).map((one) => {
      const stat = readFileSync(`/proc/${one}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name may hold spaces
      return sum(fields.slice(11, 15).map(Number)) / ticksPerSecond;
    }),
  );
}

/** A process and all that descend from it. */
export function familyOf(pid: number): number[] {
  let children = "";
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      children += readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8");
    } catch {
      // A thread that has ended meanwhile has no children any more.
    }
  }
  return [pid, ...children.split(" ").flatMap((word) => (word === "" ? [] : familyOf(Number(word))))];
}

function forgetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5"); // resets VmHWM (proc_pid_clear_refs(5))
  } catch {
    // Not allowed for another user's process: the peak is then that of its whole life.
  }
}

function peakRssMiB(pid: number): number {
  return kibOf(pid, "VmHWM") / 1024;
}

/** A field of /proc/PID/status that is in kB: VmHWM, VmRSS. */
export function kibOf(pid: number, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1] ?? 0);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
