import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { mutants } from "./mutants.ts";

const maxCuts = 10_000;
const program = join(import.meta.dir, "run.ts");
const preload = join(import.meta.dir, "mutate.ts");

/** Runs the simulator with a fault in it until it is found. */
async function findMutant(name: string): Promise<{ exitCode: number; text: string }> {
  const child = Bun.spawn(
    [process.execPath, "--preload", preload, program, "--terse", "--seeds=1000000", `--cuts=${maxCuts}`],
    { stdout: "pipe", stderr: "pipe", env: { ...process.env, UNDERPASS_MUTANT: name } },
  );
  const [text, faults] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, text: text + faults };
}

describe(`the simulator finds a fault in the core within ${maxCuts} cuts`, () => {
  test("there are enough of them, each with a name of its own", () => {
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
    expect(mutants.length).toBeGreaterThanOrEqual(15);
  });

  test.each(mutants.map(({ name }) => name))(
    "%s",
    async (name) => {
      const { exitCode, text } = await findMutant(name);
      expect(text).toMatch(/^Seed \d+: /m);
      expect(exitCode).toBe(1);
    },
    60_000,
  );

  test("a fault whose source has changed is no fault that was found", async () => {
    const { exitCode, text } = await findMutant("no such fault");
    expect(text).toContain("there is none of that name");
    expect(exitCode).toBe(3);
  });
});
