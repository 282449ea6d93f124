import { expect, test } from "bun:test";
import { join } from "node:path";
import { Program } from "../blackbox/programs/program.ts";

const root = join(import.meta.dir, "../..");

// What every example promises: a URL on stdout that answers, and an end at SIGINT.
test.each([...new Bun.Glob("*.ts").scanSync(join(root, "examples"))].sort())(
  "examples/%s works",
  async (file) => {
    const example = new Program([process.execPath, join("examples", file)], { cwd: root });
    await example.output((stdout) => stdout.includes("\n"));
    const [url = ""] = example.stdout.split("\n");
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    expect(await answer.text()).toMatch(/\n$/);
    example.signal("SIGINT");
    expect(await example.exit()).toBe(0);
  },
);
