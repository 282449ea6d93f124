import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installed, needed } from "../../blackbox/programs/installed.ts";
import { Program } from "../../blackbox/programs/program.ts";
import { type Ran, run } from "../../blackbox/programs/run.ts";

const limitMs = 60_000;
const cgroup = `underpass-test-${process.pid}`;
/** Units of systemd's that those under test name. All others stay away: they would set up this machine. */
const targets = ["sysinit", "basic", "multi-user", "network-online", "shutdown"];
/** What programs of this machine need of its /etc. */
const etcFiles = ["passwd", "group", "nsswitch.conf", "hosts", "resolv.conf", "ld.so.cache"];

const saying = (word: string): string =>
  `[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=echo ${word}\n`;
/** Services that tell how things go: systemd runs, a service has failed and is not started again. */
const own = { "ready.service": saying("ready"), "failed.service": saying("failed") };

export interface MachineFiles {
  /** Texts of services, by their names. */
  readonly services: Readonly<Record<string, string>>;
  /** Texts under /etc/underpass. */
  readonly settings: Readonly<Record<string, string>>;
  /** Under /usr/local/bin: files of this machine. */
  readonly programs: readonly string[];
}

/**
 * A systemd that is process 1 of namespaces of its own, with nothing to start but services of ours: what they run in is
 * set up by the very code that does it on a host. The network is this machine's; what else is written goes with it.
 */
export class Machine {
  private constructor(
    private readonly folder: string,
    private readonly program: Program,
    /** What each service says, as the output of a program. */
    private readonly logs: ReadonlyMap<string, Program>,
    private readonly pid: number,
  ) {}

  static async boot({ services, settings, programs }: MachineFiles): Promise<Machine> {
    const folder = await mkdtemp(join(tmpdir(), "underpass-machine-"));
    const at = (...parts: string[]): string => join(folder, ...parts);
    for (const name of ["units", "etc/underpass", "bin", "none", "logs"])
      await mkdir(at(name), { recursive: true });
    for (const name of etcFiles) await copyFile(join("/etc", name), at("etc", name));
    for (const name of targets)
      await writeFile(at("units", `${name}.target`), "[Unit]\nDefaultDependencies=no\n");
    const logs = new Map<string, Program>();
    for (const [name, text] of Object.entries({ ...services, ...own })) {
      await writeFile(at("units", name), text);
      await mkdir(at("units", `${name}.d`));
      const log = `StandardOutput=file:/run/machine/logs/${name}\nStandardError=file:/run/machine/logs/${name}\n`;
      const watch = name in own ? "" : "[Unit]\nOnFailure=failed.service\n";
      await writeFile(at("units", `${name}.d/test.conf`), `${watch}[Service]\n${log}`);
      await run([needed("mkfifo"), at("logs", name)], { limitMs });
      // Open both ways, so that it outlives each writer.
      logs.set(name, new Program([needed("sh"), "-c", 'exec cat <>"$0"', at("logs", name)]));
    }
    for (const [name, text] of Object.entries(settings)) await writeFile(at("etc/underpass", name), text);
    for (const path of programs) await copyFile(path, at("bin", path.split("/").at(-1) ?? ""));
    const program = new Program(enter(folder, ""));
    await logs.get("ready.service")?.output((stdout) => stdout.includes("ready"));
    const children = await readFile(`/proc/${program.pid}/task/${program.pid}/children`, "utf8");
    return new Machine(folder, program, logs, Number(children.trim()));
  }

  log(service: string): Program {
    const log = this.logs.get(service);
    if (log === undefined) throw new Error(`${service} is none of this machine`);
    return log;
  }

  /** A file in /etc/underpass, new or another. */
  write(name: string, text: string): Promise<void> {
    return writeFile(join(this.folder, "etc/underpass", name), text);
  }

  /** Runs a command in there, as root; fails where it does. */
  run(...command: readonly string[]): Promise<Ran> {
    const enter = [needed("nsenter"), "--target", String(this.pid), "--mount", "--pid"];
    return run([...enter, ...command], { limitMs });
  }

  systemctl(...args: readonly string[]): Promise<Ran> {
    return this.run("systemctl", ...args);
  }

  /** Resolves when a service that is started now has failed for good. */
  async startsInVain(service: string): Promise<void> {
    const failed = this.log("failed.service");
    const before = failed.stdout.length;
    await this.systemctl("start", service);
    await failed.output((stdout) => stdout.length > before);
  }

  /** A property of a service, as `systemctl show` prints it. */
  async show(service: string, property: string): Promise<string> {
    return (await this.systemctl("show", "--value", "--property", property, service)).stdout.trim();
  }

  /** The service's process as this machine numbers it. */
  async mainPid(service: string): Promise<number> {
    const inside = await this.show(service, "MainPID");
    for (const pid of new Bun.Glob("[0-9]*").scanSync({ cwd: "/proc", onlyFiles: false })) {
      const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
      const [, numbers = ""] = /^NSpid:\t(.*)$/m.exec(status) ?? [];
      const parent = /^PPid:\t(\d+)$/m.exec(status)?.[1];
      if (parent === String(this.pid) && numbers.endsWith(`\t${inside}`)) return Number(pid);
    }
    throw new Error(`no process is ${service}'s ${inside}`);
  }

  async close(): Promise<void> {
    // With process 1 all that it has started dies, and only then `unshare` ends.
    process.kill(this.pid, "SIGKILL");
    await this.program.exit();
    for (const log of this.logs.values()) await log.kill();
    await run(enter(this.folder, "clear"), { limitMs });
    await rm(this.folder, { recursive: true, force: true });
  }
}

function enter(folder: string, what: "" | "clear"): string[] {
  const script = join(import.meta.dir, "boot.sh");
  return [needed("unshare"), "--mount", needed("sh"), script, folder, cgroup, what];
}

/** Why none can be booted here; undefined: it can. */
export const machineRefusal: string | undefined = refusal();

function refusal(): string | undefined {
  if (installed("/lib/systemd/systemd") === undefined) return "systemd is not installed";
  if (process.getuid?.() !== 0) return "it needs to be root";
  const mounts =
    'mount -t tmpfs tmpfs /run && mkdir /run/c && mount -t cgroup2 c /run/c && mkdir "/run/c/$0" && rmdir "/run/c/$0"';
  const tried = Bun.spawnSync([
    "unshare",
    "--mount",
    "--cgroup",
    "--pid",
    "--fork",
    "sh",
    "-c",
    mounts,
    cgroup,
  ]);
  return tried.exitCode === 0 ? undefined : tried.stderr.toString().trim();
}
