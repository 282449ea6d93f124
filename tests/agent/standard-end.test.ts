import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const program = join(import.meta.dir, "standard-count-program.ts");
const rounds = 24;
const lines = 400_000;

describe("stdin and stdout", () => {
  // With `process.stdin` it was not heard in a third of these runs.
  test("an end that comes while stdin rests is heard, after every byte", async () => {
    const sent = new Bun.CryptoHasher("sha256");
    for (let line = 1; line <= lines; line++) sent.update(`${line}\n`);
    const expected = sent.digest("hex");
    for (let round = 0; round < rounds; round++) {
      const shell = Bun.spawn(["sh", "-c", `seq ${lines} | "$0" "$1"`, process.execPath, program], {
        stdout: "pipe",
        stderr: "inherit",
      });
      expect(await new Response(shell.stdout).text()).toBe(expected);
      expect(await shell.exited).toBe(0);
    }
  }, 60_000);
});
