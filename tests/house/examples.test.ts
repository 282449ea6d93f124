import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { Program } from "../blackbox/programs/program.ts";

const root = join(import.meta.dir, "../..");
const service = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("the service\n") });
afterAll(() => service.stop(true));

// What every example promises: a URL on stdout that answers with a line of text, and an end at SIGINT.
test.each([...new Bun.Glob("*.ts").scanSync(join(root, "examples"))].sort())(
  "examples/%s works",
  async (file) => {
    const example = new Program([process.execPath, join("examples", file), String(service.port)], {
      cwd: root,
    });
    await example.output((stdout) => stdout.includes("\n"));
    const url = /http:\/\/\S+/.exec(example.stdout)?.[0] ?? "";
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    expect(await answer.text()).toMatch(/\n$/);
    example.signal("SIGINT");
    expect(await example.exit()).toBe(0);
  },
);
