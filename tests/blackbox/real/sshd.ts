import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentCommand } from "../programs/agent.ts";
import { freePort } from "../programs/free-port.ts";
import { needed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";
import { type Ran, run } from "../programs/run.ts";

const keyLimitMs = 30_000;
/** Where sshd of root must have an empty folder. */
const separationFolder = "/run/sshd";

/** The sshd of this machine with a key, a port and a configuration of its own, for whoever runs the test; and ssh, scp and rsync. */
export class Sshd {
  private constructor(
    readonly port: number,
    readonly folder: string,
    private readonly program: Program,
  ) {}

  static async start(): Promise<Sshd> {
    const folder = await mkdtemp(join(tmpdir(), "underpass-sshd-"));
    for (const name of ["host", "login"]) {
      const args = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", join(folder, name)];
      await run([needed("ssh-keygen"), ...args], { limitMs: keyLimitMs });
    }
    if (process.getuid?.() === 0) await mkdir(separationFolder, { recursive: true, mode: 0o755 });
    const port = await freePort();
    const settings = [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${folder}/host`,
      `AuthorizedKeysFile ${folder}/login.pub`,
      ...["PidFile none", "UsePAM no", "StrictModes no", "PermitRootLogin prohibit-password"],
      ...["PasswordAuthentication no", "KbdInteractiveAuthentication no", "PrintMotd no"],
      ...["Subsystem sftp internal-sftp", "MaxStartups 100", "MaxSessions 100"],
    ];
    await writeFile(join(folder, "sshd.conf"), settings.join("\n"));
    const program = new Program([needed("sshd"), "-D", "-e", "-f", join(folder, "sshd.conf")]);
    await program.output((_, stderr) => stderr.includes("Server listening"));
    const sshd = new Sshd(port, folder, program);
    await sshd.#know("direct", []);
    return sshd;
  }

  /** From now on `name` is this sshd by way of the private tunnel of that name; `direct` is it without one. */
  async knowTunnel(name: string, relay: string, token: string): Promise<void> {
    const tokenFile = join(this.folder, `${name}.jwt`);
    await writeFile(tokenFile, token, { mode: 0o600 });
    const place = ["--relay", relay, "--token-file", tokenFile];
    await this.#know(name, agentCommand(["connect", name, "--stdio", ...place, "--quiet"]));
  }

  /** Runs `command` on `host`. */
  ssh(host: string, command: string, options: { stdin?: string; limitMs: number }): Promise<Ran> {
    return run([needed("ssh"), "-F", this.#config(host), host, command], options);
  }

  /** Copies a file; a path on the far side has `HOST:` before it, which `host` must be. */
  async scp(host: string, from: string, to: string, limitMs: number): Promise<void> {
    await run([needed("scp"), "-q", "-F", this.#config(host), from, to], { limitMs });
  }

  /** Makes the folder `to` the same as `from`, as rsync does. */
  async rsync(host: string, from: string, to: string, limitMs: number): Promise<void> {
    const remote = `${needed("ssh")} -F ${this.#config(host)}`;
    await run([needed("rsync"), "-a", "--delete", "-e", remote, `${from}/`, to], { limitMs });
  }

  async stop(): Promise<void> {
    await this.program.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** `proxyCommand`: what has the far end as its stdin and stdout; none: it is called at its port. */
  async #know(host: string, proxyCommand: readonly string[]): Promise<void> {
    const settings = [
      ...["Hostname 127.0.0.1", `Port ${this.port}`],
      ...[`IdentityFile ${this.folder}/login`, "IdentitiesOnly yes", "BatchMode yes", "LogLevel ERROR"],
      ...["StrictHostKeyChecking no", "UserKnownHostsFile /dev/null", "ConnectTimeout 30"],
      ...(proxyCommand.length > 0 ? [`ProxyCommand ${proxyCommand.map(quoted).join(" ")}`] : []),
    ];
    await writeFile(join(this.folder, `${host}.conf`), `${settings.join("\n")}\n`);
  }

  #config(host: string): string {
    return join(this.folder, `${host}.conf`);
  }
}

/** For the shell that ssh gives it to, and for ssh, which looks for `%`. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''").replaceAll("%", "%%")}'`;
}
