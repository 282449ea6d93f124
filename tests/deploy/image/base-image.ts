import { chmod, copyFile, mkdir, realpath, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { needed } from "../../blackbox/programs/installed.ts";
import { run } from "../../blackbox/programs/run.ts";

/** What a Debian image has of these at least; of a larger one the Dockerfile uses no more, else its step fails here. */
const programs = ["sh", "bash", "ldd", "grep", "find", "xargs", "mkdir", "cp"];

/**
 * Stands in for an image of Debian with Bun, as no registry of images can be reached: a root folder made of this
 * machine's own programs and the libraries that they are linked with.
 */
export async function makeBase(root: string): Promise<void> {
  for (const folder of ["bin", "lib", "lib64"]) {
    await mkdir(join(root, "usr", folder), { recursive: true });
    await symlink(`usr/${folder}`, join(root, folder));
  }
  for (const folder of ["proc", "dev", "root", "tmp"]) await mkdir(join(root, folder));
  const bun = await realpath(process.execPath);
  await place(root, bun, "/usr/local/bin/bun");
  const paths = programs.map(needed);
  for (const path of paths) await place(root, path, join("/usr/bin", path.split("/").at(-1) ?? ""));
  for (const path of await libraries(bun, ...paths)) await place(root, path, path);
  // What the C library loads by itself.
  const loaded = new Bun.Glob("lib/*-linux-gnu/lib{nss_dns,nss_files,resolv}.so.2");
  for (const path of loaded.scanSync({ cwd: "/", followSymlinks: true }))
    await place(root, `/${path}`, `/${path}`);
}

async function place(root: string, from: string, to: string): Promise<void> {
  const path = join(root, to);
  await mkdir(dirname(path), { recursive: true });
  await copyFile(from, path);
  await chmod(path, 0o755);
}

async function libraries(...paths: readonly string[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (const path of paths) {
    // `ldd` itself is a script.
    if (path.endsWith("/ldd")) continue;
    const { stdout } = await run([needed("ldd"), path], { limitMs: 10_000 });
    for (const [library] of stdout.matchAll(/\/[^ ]*/g)) found.add(library);
  }
  return found;
}
