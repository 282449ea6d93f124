import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Program } from "../blackbox/programs/program.ts";

const root = join(import.meta.dir, "../..");
const node = Bun.which("node");
/** A machine has Node, or Bun, or both: what starts a script of package.json must be the same with each. */
const starters = [["Bun", process.execPath] as const, ...(node === null ? [] : [["Node", node] as const])];

describe.each(starters)("a script that %s starts", (_name, starter) => {
  const start = (...args: string[]): Program =>
    new Program([starter, "scripts/run.mjs", ...args], { cwd: root });

  test("runs in the project's own Bun, and stdout is its own", async () => {
    const program = start("-e", "console.log(Bun.version)");
    expect(await program.exit()).toBe(0);
    const { devDependencies } = (await Bun.file(join(root, "package.json")).json()) as {
      devDependencies: Record<string, string>;
    };
    expect(program.stdout).toBe(`${devDependencies["bun"]}\n`);
  });

  test("gets its arguments, and its exit code is passed on", async () => {
    expect(await start("-e", "process.exit(Number(process.argv.at(-1)))", "7").exit()).toBe(7);
  });

  test.each(["SIGINT", "SIGTERM"] as const)("gets %s once, and may take its time", async (signal) => {
    const program = start(
      "-e",
      `let count = 0; process.on("${signal}", () => { count++; setImmediate(() => { console.log("count", count); process.exit(3); }); }); console.log("ready"); setInterval(() => {}, 1e6)`,
    );
    await program.output((stdout) => stdout.includes("ready"));
    program.signal(signal);
    expect(await program.exit()).toBe(3);
    expect(program.stdout).toBe("ready\ncount 1\n");
  });
});
