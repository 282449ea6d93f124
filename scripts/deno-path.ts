import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/**
 * The Deno binary itself. node_modules/.bin/deno is a Node script around it that does not pass signals on, and its
 * install step does not run under Bun.
 */
export function denoPath(): string {
  const fromHere = createRequire(import.meta.url);
  const fromDeno = createRequire(fromHere.resolve("deno/package.json"));
  const libc = process.platform === "linux" ? "-glibc" : "";
  const folder = dirname(fromDeno.resolve(`@deno/${process.platform}-${process.arch}${libc}/package.json`));
  const path = join(folder, process.platform === "win32" ? "deno.exe" : "deno");
  if (!existsSync(path))
    throw new Error(`${path} is missing: run \`npm run check\` or \`bun install\` once more.`);
  return path;
}
