import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { installed } from "./installed.ts";
import { Program } from "./program.ts";

/** Where Debian puts it, which is not in everybody's PATH. */
export const nginxBinary = installed("nginx", "/usr/sbin/nginx");

/** What nginx does with a WebSocket's upgrade. Without being told to, it takes it away. */
export type UpgradeHabit = "takes-away" | "forwards";

/** An nginx before a relay, set up as somebody who knows nothing of tunnels would: all its defaults, but for the upgrade. */
export class NginxProxy {
  #program: Program | undefined;

  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly relayUrl: string,
  ) {}

  static async start(relayUrl: string, habit: UpgradeHabit): Promise<NginxProxy> {
    const folder = await mkdtemp(join(tmpdir(), "underpass-nginx-"));
    const proxy = new NginxProxy(await freePort(), folder, relayUrl);
    await proxy.#write(habit);
    await proxy.run();
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it, again after `halt`. */
  async run(): Promise<void> {
    this.#program = new Program([
      ...[nginxBinary ?? "nginx", "-p", this.folder, "-e", "stderr", "-c", this.#file],
    ]);
    await this.#program.output((_, stderr) => stderr.includes("start worker process "));
  }

  /** Ends it, and whatever goes through it. */
  async halt(): Promise<void> {
    await this.#program?.stop();
  }

  /** A new configuration for whoever comes from now on; what is open goes on with the old one. */
  async reload(habit: UpgradeHabit): Promise<void> {
    const program = this.#program;
    if (program === undefined) return;
    await this.#write(habit);
    const before = program.stderr.length;
    program.signal("SIGHUP");
    await program.output((_, stderr) => stderr.slice(before).includes("start worker process "));
  }

  async close(): Promise<void> {
    await this.halt();
    await rm(this.folder, { recursive: true, force: true });
  }

  get #file(): string {
    return join(this.folder, "nginx.conf");
  }

  async #write(habit: UpgradeHabit): Promise<void> {
    const { folder, port, relayUrl } = this;
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (kind) => `${kind}_temp_path ${folder}/${kind};`,
    );
    const forward =
      'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";';
    await writeFile(
      this.#file,
      `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr notice; ${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 1024; }
http {
  ${temporary.join(" ")} access_log off;
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass ${relayUrl}; ${habit === "forwards" ? forward : ""} }
  }
}
`,
    );
  }
}
