import { readFileSync } from "node:fs";

/** Left for what is no tunnel. */
const reserve = 1_000;

/** How many sockets a process that we start may hold. */
export function descriptorLimit(): number {
  if (process.platform !== "linux") return reserve;
  const limit = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return Number(limit ?? 2 * reserve) - reserve;
}
