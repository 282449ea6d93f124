import { within } from "./within.ts";

export interface RunOptions {
  readonly env?: Record<string, string>;
  /** What it reads by stdin; none: nothing, at its end already. */
  readonly stdin?: string;
  readonly limitMs: number;
}

/** What a program that ran to its end has said. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs somebody else's program to its end. Fails where it exits with another code than 0, or is not done within the limit. */
export async function run(command: readonly string[], options: RunOptions): Promise<Ran> {
  const child = Bun.spawn([...command], {
    stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin]),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...options.env },
  });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const ended = Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const say = () => `the end of \`${command.join(" ")}\``;
  try {
    const [code, stdout, stderr] = await within(ended, options.limitMs, say);
    if (code !== 0)
      throw new Error(
        `exit ${code}: ${command.join(" ")}\nstdout: ${stdout.slice(-2000)}\nstderr: ${stderr.slice(-2000)}`,
      );
    return { code, stdout, stderr };
  } finally {
    kill();
    process.off("exit", kill);
  }
}
