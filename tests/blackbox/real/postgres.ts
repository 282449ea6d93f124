import { chmod, chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../programs/free-port.ts";
import { needed } from "../programs/installed.ts";
import { Program } from "../programs/program.ts";
import { run } from "../programs/run.ts";

const setUpLimitMs = 60_000;
const database = "postgres";
const user = "postgres";

export interface PgbenchRun {
  readonly seconds: number;
  readonly visitors: number;
  /** Only reads; else pgbench's own mix, which is like TPC-B. */
  readonly selectOnly: boolean;
}

/** A PostgreSQL of its own in a temporary folder, filled by pgbench; and pgbench. */
export class Postgres {
  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly program: Program,
  ) {}

  /** `scale`: in 100,000 rows. */
  static async start(scale = 10): Promise<Postgres> {
    const folder = await mkdtemp(join(tmpdir(), "underpass-postgres-"));
    await chmod(folder, 0o700);
    const as = await demoted(folder);
    const data = join(folder, "data");
    await run([...as, needed("initdb"), "-D", data, "-U", user, "-A", "trust", "--no-sync", "-E", "UTF8"], {
      limitMs: setUpLimitMs,
    });
    const port = await freePort();
    const settings = {
      ...{ listen_addresses: "127.0.0.1", port, unix_socket_directories: folder, max_connections: 100 },
      // What the disk takes is not what is compared.
      ...{ fsync: "off", synchronous_commit: "off", autovacuum: "off", shared_buffers: "256MB" },
    };
    const switches = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const program = new Program([...as, needed("postgres"), "-D", data, ...switches]);
    await program.output((_, stderr) => stderr.includes("ready to accept connections"));
    const postgres = new Postgres(port, folder, program);
    await postgres.#pgbench(port, setUpLimitMs, ["-i", "-q", "-s", String(scale)]);
    return postgres;
  }

  /** Visits the PostgreSQL at `port`. Returns transactions a second. Fails when a transaction has failed. */
  async visit(port: number, { seconds, visitors, selectOnly }: PgbenchRun): Promise<number> {
    const said = await this.#pgbench(port, seconds * 1000 + 30_000, [
      ...["-T", String(seconds), "-c", String(visitors), "-n"],
      ...(selectOnly ? ["-S"] : []),
    ]);
    const rate = Number(/^tps = ([\d.]+)/m.exec(said)?.[1] ?? Number.NaN);
    const failed = /^number of failed transactions: (\d+)/m.exec(said)?.[1];
    if (failed !== "0" || !(rate > 0)) throw new Error(`pgbench: ${said}`);
    return rate;
  }

  /** What money the accounts, the tellers, the branches and the history have: four times the same where no transaction was done by halves. */
  async books(port: number): Promise<readonly string[]> {
    const tables = ["accounts", "tellers", "branches", "history"];
    const columns = ["abalance", "tbalance", "bbalance", "delta"];
    const sums = tables.map((table, i) => `select sum(${columns[i]}) from pgbench_${table}`);
    return (await this.#psql(port, sums)).trim().split("\n");
  }

  /** All accounts as text: some ten megabytes for each 100,000. */
  accounts(port: number): Promise<string> {
    return this.#psql(port, ["copy (select * from pgbench_accounts order by aid) to stdout"]);
  }

  async stop(): Promise<void> {
    // "Fast shutdown": its processes are gone when it is.
    this.program.signal("SIGINT");
    await this.program.exited;
    await rm(this.folder, { recursive: true, force: true });
  }

  #place(port: number): readonly string[] {
    return ["-h", "127.0.0.1", "-p", String(port), "-U", user, database];
  }

  async #psql(port: number, commands: readonly string[]): Promise<string> {
    const args = [...this.#place(port), "-X", "-At", ...commands.flatMap((command) => ["-c", command])];
    return (await run([needed("psql"), ...args], { limitMs: setUpLimitMs })).stdout;
  }

  async #pgbench(port: number, limitMs: number, args: readonly string[]): Promise<string> {
    const { stdout, stderr } = await run([needed("pgbench"), ...args, ...this.#place(port)], { limitMs });
    if (/error|fatal/i.test(stderr)) throw new Error(`pgbench: ${stderr}`);
    return stdout;
  }
}

/** It refuses to run as root: what makes it another user then, who gets the folder. */
async function demoted(folder: string): Promise<readonly string[]> {
  if (process.getuid?.() !== 0) return [];
  const id = async (what: string) =>
    Number((await run([needed("id"), what, user], { limitMs: setUpLimitMs })).stdout);
  const [uid, gid] = [await id("-u"), await id("-g")];
  await chown(folder, uid, gid);
  return [needed("setpriv"), `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
}
