/** `npm run check [-- format types layers]`: everything that can be said about the sources without running them. */
import { denoPath } from "./deno-path.ts";

const bun = process.execPath;
const root = new URL("..", import.meta.url).pathname;

/** Each tool is started by Bun or by itself, so that a machine without Node needs none. */
const steps: Readonly<Record<string, readonly (readonly string[])[]>> = {
  format: [[bun, "node_modules/@biomejs/biome/bin/biome", "check", "."]],
  types: [
    [bun, "node_modules/typescript/bin/tsc", "-p", "."],
    [denoPath(), "check", "relay.ts"],
  ],
  layers: [[bun, "test", "tests/layers.test.ts", "tests/docs.test.ts"]],
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in steps));
if (unknown.length > 0) {
  console.error(`No such check: ${unknown.join(", ")}. There are ${Object.keys(steps).join(", ")}.`);
  process.exit(2);
}

let failed = 0;
for (const [name, commands] of Object.entries(steps)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  for (const command of commands) {
    const { exitCode } = Bun.spawnSync([...command], {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
    });
    console.log(`${exitCode === 0 ? "ok    " : "FAILED"} ${name}: ${command.slice(1).join(" ")}`);
    if (exitCode !== 0) failed++;
  }
}
process.exit(failed === 0 ? 0 : 1);
