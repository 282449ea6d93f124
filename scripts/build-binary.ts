import { stat } from "node:fs/promises";

const root = new URL("../", import.meta.url).pathname;

/** `bun build ...ARGS` in the project's root, silent where it succeeds. */
export async function bunBuild(...args: readonly string[]): Promise<void> {
  const { exited } = Bun.spawn([process.execPath, "build", ...args], {
    cwd: root,
    stdout: "ignore",
    stderr: "inherit",
  });
  const code = await exited;
  if (code !== 0) throw new Error(`bun build ${args.join(" ")} ended with ${code}`);
}

/** `entry` as a program that runs with nothing beside it. */
export function buildBinary(entry: string, outfile: string): Promise<void> {
  // Without the switches, a .env or bunfig.toml of wherever it is started would be read.
  const alone = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  return bunBuild(entry, "--compile", "--minify", ...alone, `--outfile=${outfile}`);
}

/** Prints the sizes of these files. */
export async function printSizes(...files: readonly string[]): Promise<void> {
  for (const file of files) {
    const { size } = await stat(`${root}${file}`);
    console.log(`${file}  ${(size / 1e6).toFixed(size < 1e7 ? 2 : 0)} MB`);
  }
}
