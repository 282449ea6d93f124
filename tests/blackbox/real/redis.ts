import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../programs/free-port.ts";
import { needed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";
import { type Ran, run } from "../programs/run.ts";

export interface RedisRun {
  readonly command: "set" | "get";
  readonly requests: number;
  readonly visitors: number;
  /** So many requests are sent before the first answer is awaited. */
  readonly pipeline: number;
}

/** A Redis that writes nothing to disk; and redis-benchmark. */
export class Redis {
  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly program: Program,
  ) {}

  static async start(): Promise<Redis> {
    const folder = await mkdtemp(join(tmpdir(), "underpass-redis-"));
    const port = await freePort();
    const args = ["--bind", "127.0.0.1", "--port", String(port), "--dir", folder];
    const program = new Program([needed("redis-server"), ...args, "--save", "", "--appendonly", "no"]);
    await program.output((stdout) => stdout.includes("Ready to accept connections"));
    return new Redis(port, folder, program);
  }

  /** Visits the Redis at `port`. Returns requests a second. Fails when an answer is an error. */
  async visit(port: number, { command, requests, visitors, pipeline }: RedisRun): Promise<number> {
    const { stdout, stderr } = await run(
      [
        ...[needed("redis-benchmark"), "-h", "127.0.0.1", "-p", String(port), "--csv", "-t", command],
        ...["-n", String(requests), "-c", String(visitors), "-P", String(pipeline)],
        ...["-r", "1000", "-d", "100"],
      ],
      { limitMs: 120_000 },
    );
    const rate = Number(/^"[SG]ET","([\d.]+)"/m.exec(stdout)?.[1] ?? Number.NaN);
    if (stderr.trim() !== "" || !(rate > 0)) throw new Error(`redis-benchmark: ${stdout}${stderr}`);
    return rate;
  }

  async set(port: number, key: string, value: string): Promise<void> {
    const { stdout } = await this.#cli(port, ["-x", "set", key], value);
    if (stdout.trim() !== "OK") throw new Error(`redis-cli: ${stdout}`);
  }

  async get(port: number, key: string): Promise<string> {
    // It adds the end of the line.
    return (await this.#cli(port, ["--raw", "get", key])).stdout.slice(0, -1);
  }

  async stop(): Promise<void> {
    await this.program.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  #cli(port: number, args: readonly string[], stdin = ""): Promise<Ran> {
    const command = [needed("redis-cli"), "-h", "127.0.0.1", "-p", String(port), ...args];
    return run(command, { stdin, limitMs: 30_000 });
  }
}
