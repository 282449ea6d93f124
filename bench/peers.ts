/**
 * `bun run bench:peers [NAME...]`: installs who the bench compares with, and its load generators, by their own package
 * tools into a folder of this checkout that git ignores. What can't be had is skipped with a note. Building takes long
 * and gives way to everything else (nice).
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { findProgram, peerFolder } from "./peers/found.ts";
import { type GoModule, type Recipe, recipes } from "./peers/recipes.ts";

const chosen = process.argv.slice(2);
await mkdir(join(peerFolder, "bin"), { recursive: true });
for (const recipe of recipes) {
  if (chosen.length > 0 && !chosen.includes(recipe.name)) continue;
  console.log(`${recipe.name}: ${await install(recipe)}`);
}

async function install({ name, program = name, ...recipe }: Recipe): Promise<string> {
  const there = findProgram(program);
  if (there !== undefined) return "there already";
  if ("skip" in recipe) return `left out: ${recipe.skip}`;
  if ("debian" in recipe) return `left out: not installed (Debian: apt install ${recipe.debian})`;
  const [tool, ...rest] = "crate" in recipe ? cargo(recipe.crate) : await go(name, recipe);
  if (tool === undefined || Bun.which(tool) === null) return `left out: ${tool} is not installed`;
  const child = Bun.spawn(["nice", "-n", "19", tool, ...rest], {
    cwd: "module" in recipe ? join(peerFolder, "go", name) : peerFolder,
    env: {
      ...process.env,
      CARGO_TARGET_DIR: join(peerFolder, "target"),
      GOBIN: join(peerFolder, "bin"),
    },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) === 0) return "installed";
  return `left out: ${tool} could not build it: ${said.trim().split("\n").slice(-2).join(" ")}`;
}

function cargo(crate: readonly string[]): string[] {
  return ["cargo", "install", "--root", join(peerFolder, "cargo"), ...crate];
}

/**
 * A version that is known is built in a module of its own: unlike `go install`, that asks the proxy for this version
 * only, and not for the list of all, which some proxies don't serve.
 */
async function go(name: string, { module, version, path = module }: GoModule): Promise<string[]> {
  const folder = join(peerFolder, "go", name);
  await mkdir(folder, { recursive: true });
  if (version === undefined) return ["go", "install", `${path}@latest`];
  await Bun.write(join(folder, "go.mod"), `module peer\n\ngo 1.23\n\nrequire ${module} ${version}\n`);
  return ["go", "build", "-mod=mod", "-o", join(peerFolder, "bin", name), path];
}
