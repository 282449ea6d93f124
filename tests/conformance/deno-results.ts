import { expect } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");

/** What `runOnDeno` has printed in this script: "" or what went wrong, by the case's name. */
export async function denoResults(
  script: string,
  ...args: readonly string[]
): Promise<Record<string, string>> {
  const deno = join(root, "node_modules/.bin/deno");
  const run = Bun.spawn([deno, "run", "-A", "--no-check", script, ...args], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
  expect(await run.exited, err).toBe(0);
  return JSON.parse(out);
}
