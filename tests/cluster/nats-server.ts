import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, watch, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Where nats-server is; undefined: it is not installed, and its tests are skipped. */
export const natsServerPath: string | undefined = [
  ...(process.env["PATH"] ?? "").split(":"),
  "/usr/sbin",
  "/sbin",
]
  .map((folder) => join(folder, "nats-server"))
  .find((path) => existsSync(path));

export interface NatsServerOptions {
  /** Lines of its configuration, beside port and store. */
  readonly configuration?: string;
}

/** A real nats-server with JetStream on a free port, its store in a folder of its own. For tests on Bun and on Deno. */
export class NatsServer {
  port = -1;
  #process: ChildProcess | undefined;
  readonly #folder: string;
  readonly #configuration: string;

  private constructor(folder: string, configuration: string) {
    this.#folder = folder;
    this.#configuration = configuration;
  }

  static async start({ configuration = "" }: NatsServerOptions = {}): Promise<NatsServer> {
    const folder = await mkdtemp(join(tmpdir(), "underpass-nats-"));
    const server = new NatsServer(folder, configuration);
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts it again on the port that it had. */
  async start(): Promise<void> {
    if (natsServerPath === undefined) throw new Error("nats-server is not installed.");
    const ports = await mkdtemp(join(this.#folder, "ports-"));
    const configuration = join(ports, "nats.conf");
    await writeFile(
      configuration,
      `host: 127.0.0.1\nport: ${this.port}\njetstream { store_dir: "${join(this.#folder, "store")}" }\n${this.#configuration}\n`,
    );
    const watching = new AbortController();
    const written = (async () => {
      for await (const _ of watch(ports, { signal: watching.signal })) {
        const text = await portsIn(ports);
        if (text !== undefined) return text;
      }
      throw new Error("The folder is not watched any more.");
    })();
    // A test run that is ended at once leaves nothing behind: the kernel ends its servers.
    const command = ["--pdeathsig", "KILL", natsServerPath, "-c", configuration, "--ports_file_dir", ports];
    const child = spawn("setpriv", command, { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    let log = "";
    child.stderr?.on("data", (bytes) => {
      log += bytes;
    });
    const failed = once(child, "exit").then(() => {
      throw new Error(`nats-server ended: ${log.slice(-2_000)}`);
    });
    // Once it runs, its end is what a test wants.
    failed.catch(() => {});
    const text = (await portsIn(ports)) ?? (await Promise.race([written, failed]));
    watching.abort();
    written.catch(() => {});
    const { nats } = JSON.parse(text) as { nats: string[] };
    this.port = Number(/:(\d+)$/.exec(nats[0] ?? "")?.[1]);
  }

  /** Ends it in order, or at once; `emptied`: what it had stored is gone. */
  async stop({
    signal = "SIGTERM",
    emptied = false,
  }: {
    signal?: "SIGTERM" | "SIGKILL";
    emptied?: boolean;
  } = {}): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      this.#signal(child, signal);
      // One that is paused would not end.
      this.#signal(child, "SIGCONT");
      await exited;
    }
    if (emptied) await rm(join(this.#folder, "store"), { recursive: true, force: true });
  }

  /** Resolves when it stands still: the signal takes its time to reach every thread. */
  async pause(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#signal(child, "SIGSTOP");
    const tasks = `/proc/${child.pid}/task`;
    for (const task of await readdir(tasks)) {
      const state = async () => (await readFile(join(tasks, task, "stat"), "utf8")).split(") ")[1]?.[0];
      while ((await state()) !== "T") await new Promise((resolve) => setImmediate(resolve));
    }
  }

  resume(): void {
    if (this.#process !== undefined) this.#signal(this.#process, "SIGCONT");
  }

  /** Ends it, and takes its folder away. */
  async close(): Promise<void> {
    await this.stop({ signal: "SIGKILL" });
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** By its id: Deno's `kill` of a child sends one signal, and no more (2.9.6). */
  #signal({ pid }: ChildProcess, signal: NodeJS.Signals): void {
    if (pid !== undefined) process.kill(pid, signal);
  }
}

/** What the server has written of its ports, once it is whole. */
async function portsIn(folder: string): Promise<string | undefined> {
  const name = (await readdir(folder)).find((file) => file.endsWith(".ports"));
  if (name === undefined) return undefined;
  const text = await readFile(join(folder, name), "utf8");
  return text.trimEnd().endsWith("}") ? text : undefined;
}
