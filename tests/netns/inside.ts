import { join } from "node:path";
import { projectRoot } from "../blackbox/programs/relay.ts";

/** How a network of its own is made: as root, else in a user namespace where the system allows one. */
const ways = [
  ["unshare", "--net"],
  ["unshare", "--map-root-user", "--net"],
] as const;

type Way = { readonly command: readonly string[] } | { readonly refusal: string };

/** Tried once a process: the answer does not change. */
const way: Way = findWay();

/** Why no network can be made here; undefined: one can. */
export const insideRefusal: string | undefined = "refusal" in way ? way.refusal : undefined;

/**
 * Runs `script` (from the project's root) with this Bun in a network of its own, in which only `lo` is up. Resolves
 * with what it printed as its last line, read as JSON; `argument` is its first argument, as JSON. The network is gone
 * with the script, and the script ends when this process does (see `endWithParent`).
 */
export async function runInside(script: string, argument: unknown): Promise<unknown> {
  if ("refusal" in way) throw new Error(way.refusal);
  const child = Bun.spawn(
    [
      ...way.command,
      ...["sh", "-c", 'ip link set dev lo up && exec "$@"', "sh"],
      process.execPath,
      join(projectRoot, script),
      JSON.stringify(argument),
    ],
    { cwd: projectRoot, stdin: "pipe", stdout: "pipe", stderr: "inherit" },
  );
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const text = await new Response(child.stdout).text();
  const code = await child.exited;
  process.off("exit", kill);
  if (code !== 0) throw new Error(`${script} ended with ${code}`);
  return JSON.parse(text.trim().split("\n").at(-1) ?? "");
}

/** For such a script: what it has started dies with it, and it dies with whoever started it. */
export function endWithParent(): void {
  process.stdin.on("end", () => process.exit(1));
  process.stdin.resume();
}

function findWay(): Way {
  if (!Bun.which("unshare") || !Bun.which("ip")) return { refusal: "`unshare` or `ip` is not installed" };
  let refusal = "";
  for (const command of ways) {
    const tried = Bun.spawnSync([...command, "ip", "link", "set", "dev", "lo", "up"]);
    if (tried.exitCode === 0) return { command };
    refusal = tried.stderr.toString().trim();
  }
  return { refusal };
}
