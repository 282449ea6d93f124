import { readFile } from "node:fs/promises";

/** Resident memory of a process, now and at its highest, in MiB. */
export async function residentMiB(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const read = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024;
  return { now: Math.round(read("VmRSS")), peak: Math.round(read("VmHWM")) };
}
