import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { denoPath } from "../../scripts/deno-path.ts";
import { taskPermissions } from "../blackbox/programs/deno-permissions.ts";
import { Program } from "../blackbox/programs/program.ts";
import { projectRoot } from "../blackbox/programs/relay.ts";

const testLimitMs = 60_000;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "underpass-permissions-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Everything by variables, so that each is read. */
const env = () => ({
  UNDERPASS_LISTEN: "127.0.0.1:0",
  UNDERPASS_DATA: folder,
  UNDERPASS_JSON: "1",
  UNDERPASS_SUB: "me",
});

/** What Deno was asked for while the relay ran with these arguments, by permission. */
async function asked(args: readonly string[], name: string): Promise<string[]> {
  const audit = join(folder, `${args[0] ?? "serve"}.jsonl`);
  const program = new Program([denoPath(), "run", "-A", join(projectRoot, "relay.ts"), ...args], {
    env: { ...env(), DENO_AUDIT_PERMISSIONS: audit },
  });
  if (args.length === 0) {
    await program.event("listening");
    program.signal("SIGTERM");
  }
  await program.exit();
  const lines = (await readFile(audit, "utf8")).trim().split("\n");
  await rm(audit);
  return lines
    .map((line) => JSON.parse(line) as { readonly permission: string; readonly value: string })
    .filter(({ permission }) => permission === name)
    .map(({ value }) => value);
}

test(
  "`deno task relay` names each variable that the relay reads, and no other",
  async () => {
    const commands = [[], ["token"], ["health"], ["revoke"], ["--help"]];
    const read = await Promise.all(commands.map((args) => asked(args, "env")));
    const [granted = ""] = taskPermissions().filter((flag) => flag.startsWith("--allow-env="));
    const named = granted.replace("--allow-env=", "").split(",");
    expect(named.toSorted()).toEqual([...new Set(read.flat())].sort());
  },
  testLimitMs,
);

test(
  "with another folder than it may write, the relay says so and ends",
  async () => {
    const permissions = taskPermissions().map((flag) => flag.replace(".underpass", join(folder, "granted")));
    const program = new Program(
      [denoPath(), "run", "--no-prompt", ...permissions, join(projectRoot, "relay.ts")],
      { env: { ...env(), UNDERPASS_DATA: join(folder, "other") } },
    );
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toContain("--data");
  },
  testLimitMs,
);
