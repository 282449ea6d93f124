import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const program = join(import.meta.dir, "standard-count-program.ts");
const abortProgram = join(import.meta.dir, "standard-abort-program.ts");
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

  test("one that can't be read has ended, and is given up without a fault", async () => {
    // /dev/null is open for writing only.
    const shell = Bun.spawn(["sh", "-c", '"$0" "$1" 0>/dev/null', process.execPath, abortProgram], {
      stdout: "pipe",
      stderr: "pipe",
    });
    const said = [new Response(shell.stdout).text(), new Response(shell.stderr).text()];
    expect([await Promise.all(said), await shell.exited]).toEqual([["", ""], 0]);
  });

  test("a directory has nothing to say", async () => {
    const shell = Bun.spawn(["sh", "-c", '"$0" "$1" </', process.execPath, program], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const nothing = new Bun.CryptoHasher("sha256").digest("hex");
    expect([await new Response(shell.stdout).text(), await shell.exited]).toEqual([nothing, 0]);
  });
});
