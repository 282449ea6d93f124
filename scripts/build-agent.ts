/** `bun run build:agent`: dist/underpass runs with nothing beside it, dist/agent.js with Bun. Prints both sizes. */
import { stat } from "node:fs/promises";

const entry = new URL("../agent.ts", import.meta.url).pathname;
const folder = new URL("../dist/", import.meta.url).pathname;

async function bun(...args: string[]): Promise<void> {
  const { exited } = Bun.spawn([process.execPath, "build", ...args], { stdout: "ignore", stderr: "inherit" });
  const code = await exited;
  if (code !== 0) throw new Error(`bun build ${args.join(" ")} ended with ${code}`);
}

await bun(entry, "--target=bun", "--minify", `--outfile=${folder}agent.js`);
// Without the switches, a .env or bunfig.toml of wherever it is started would be read.
await bun(
  entry,
  "--compile",
  "--minify",
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
  `--outfile=${folder}underpass`,
);
for (const name of ["underpass", "agent.js"]) {
  const { size } = await stat(folder + name);
  console.log(`dist/${name}  ${(size / 1e6).toFixed(size < 1e7 ? 2 : 0)} MB`);
}
