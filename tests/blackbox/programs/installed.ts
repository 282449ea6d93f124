import { delimiter } from "node:path";

/** Where a program of this machine is; undefined: its cases are skipped, because no package of ours can bring it. */
export function installed(...names: readonly string[]): string | undefined {
  for (const name of names) {
    const path = Bun.which(name, { PATH: folders.join(delimiter) });
    if (path) return path;
  }
  return undefined;
}

/** Where it is; fails where it is not. For those whose tests are skipped then. */
export function needed(name: string): string {
  const path = installed(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}

/** Which of these are absent, for the title of the tests that are skipped then; "" where all are there. */
export function absent(...names: readonly string[]): string {
  return names.filter((name) => installed(name) === undefined).join(", ");
}

/** The PATH, and where Debian keeps what is not for everybody's: the newest PostgreSQL, and what is for root. */
const folders: readonly string[] = [
  ...[...new Bun.Glob("usr/lib/postgresql/*/bin/postgres").scanSync("/")]
    .map((path) => `/${path.slice(0, -"/postgres".length)}`)
    .sort(new Intl.Collator("en", { numeric: true }).compare)
    .reverse(),
  process.env["PATH"] ?? "",
  "/usr/sbin",
  "/sbin",
];
