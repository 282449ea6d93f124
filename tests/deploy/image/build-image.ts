import { chown, cp, lstat, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { projectRoot } from "../../blackbox/programs/relay.ts";
import { run } from "../../blackbox/programs/run.ts";
import { makeBase } from "./base-image.ts";
import { copyContext } from "./build-context.ts";
import { inChroot } from "./chroot.ts";
import { type ImageConfig, readDockerfile, type Stage, type Step } from "./dockerfile.ts";

/** A Dockerfile's last stage, built. */
export interface Image {
  readonly root: string;
  readonly config: ImageConfig;
  /** Images of registries that were stood in for. */
  readonly bases: readonly string[];
}

const stepLimitMs = 120_000;
/** Where Bun looks for packages before it asks a registry. */
const cacheInside = "/root/.bun/install/cache";

/** Does what `file` says, with the project as its context, in folders under `folder`. No step has a network. */
export async function buildImage(file: string, folder: string): Promise<Image> {
  const stages = readDockerfile(await readFile(join(projectRoot, file), "utf8"));
  const context = join(folder, "context");
  await copyContext(projectRoot, context, await readFile(join(projectRoot, ".dockerignore"), "utf8"));
  const roots = new Map<string, string>();
  const bases: string[] = [];
  let root = "";
  for (const [index, stage] of stages.entries()) {
    root = join(folder, `stage-${index}`);
    await mkdir(root);
    if (stage.base !== "scratch") {
      bases.push(stage.base);
      await makeBase(root);
    }
    for (const step of stage.steps) await obey(step, stage, { root, roots, context });
    if (stage.name !== undefined) roots.set(stage.name, root);
  }
  const last = stages.at(-1);
  if (last === undefined) throw new Error(`${file} has no FROM`);
  return { root, config: last.config, bases };
}

interface Place {
  readonly root: string;
  readonly roots: ReadonlyMap<string, string>;
  readonly context: string;
}

async function obey(step: Step, { config }: Stage, { root, roots, context }: Place): Promise<void> {
  const folder = join(root, step.folder);
  await mkdir(folder, { recursive: true });
  if (step.kind === "run") {
    const cache = (await run([process.execPath, "pm", "cache"], { limitMs: 10_000 })).stdout.trim();
    await mkdir(join(root, cacheInside), { recursive: true });
    const options = {
      root,
      user: config.user,
      env: { HOME: "/root", ...config.env },
      mounts: [{ from: cache, to: cacheInside }],
      offline: true,
    };
    const command = ["/bin/sh", "-c", `cd "$0" && ${step.command}`, step.folder];
    await run(inChroot(options, command), { limitMs: stepLimitMs });
    return;
  }
  const base = step.from === undefined ? context : roots.get(step.from);
  if (base === undefined) throw new Error(`COPY --from=${step.from}: no such stage`);
  const target = step.target.startsWith("/") ? join(root, step.target) : join(folder, step.target);
  const [user = 0, group = 0] = step.chown?.split(":").map(Number) ?? [];
  for (const source of step.sources) {
    const from = join(base, source);
    const isFolder = (await lstat(from)).isDirectory();
    if (!isFolder && step.sources.length > 1 && !step.target.endsWith("/"))
      throw new Error("COPY of several files to no folder");
    const to = !isFolder && step.target.endsWith("/") ? join(target, basename(source)) : target;
    await cp(from, to, { recursive: true, verbatimSymlinks: true });
    if (step.chown !== undefined || to !== root) await own(to, user, group);
  }
}

async function own(path: string, user: number, group: number): Promise<void> {
  await chown(path, user, group);
  if (!(await lstat(path)).isDirectory()) return;
  for (const name of await readdir(path)) await own(join(path, name), user, group);
}

/** What an engine makes in every container; `hosts` is the text of /etc/hosts. */
export async function addEngineFiles(root: string, hosts: string): Promise<void> {
  for (const name of ["proc", "dev", "etc"]) await mkdir(join(root, name), { recursive: true });
  await writeFile(join(root, "etc/hosts"), hosts);
  await writeFile(join(root, "etc/resolv.conf"), "nameserver 127.0.0.1\n");
}
