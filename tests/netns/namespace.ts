/**
 * Another host: a network of its own beside this process's, for a script that `runInside` has started. It lives as
 * long as a process in it does: its holder reads from us, so it ends when we do, in whatever way.
 */
export class Namespace {
  readonly #holder: Bun.Subprocess<"pipe", "pipe", "inherit">;

  private constructor(holder: Bun.Subprocess<"pipe", "pipe", "inherit">) {
    this.#holder = holder;
  }

  static async create(): Promise<Namespace> {
    const holder = Bun.spawn(["unshare", "--net", "cat"], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    holder.stdin.write("there\n");
    holder.stdin.flush();
    // The echo of what was written says that the network has been made.
    const { done } = await holder.stdout.getReader().read();
    if (done) throw new Error("no network could be made");
    const namespace = new Namespace(holder);
    await namespace.run("ip", "link", "set", "dev", "lo", "up");
    return namespace;
  }

  /** By which `ip link set dev X netns PID` finds it. */
  get pid(): number {
    return this.#holder.pid;
  }

  /** What runs `command` in it. */
  command(...command: readonly string[]): string[] {
    return ["nsenter", "--target", String(this.pid), "--net", ...command];
  }

  run(...command: readonly string[]): Promise<string> {
    return runCommand(...this.command(...command));
  }

  close(): void {
    this.#holder.kill("SIGKILL");
  }
}

/** The standard output of a command; fails with what it said when it fails. */
export async function runCommand(...command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`\`${command.join(" ")}\` ended with ${code}: ${err.trim()}`);
  return out;
}
