import { DatabaseSync, type StatementSync } from "node:sqlite";
import { UnderpassError } from "../../shared/errors.ts";
import { checkRoom, type OwnRevocations, type Revocation } from "../auth/revocations.ts";

/** How long a write waits for another process's. */
const busyMs = 200;

/** Revocations in a SQLite file, for Bun and Deno: an old and a new relay process share it. */
export class SqliteRevocations implements OwnRevocations {
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #count: StatementSync;
  readonly #put: StatementSync;
  readonly #all: StatementSync;

  /** Opens `path`, a file that is there already. Throws SQLite's errors. */
  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    try {
      // Each is written to the disk before it is told: it must not come to life again by a power cut.
      this.#database.exec(`PRAGMA busy_timeout = ${busyMs}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE TABLE IF NOT EXISTS revocations (owner TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;`);
      this.#get = this.#database.prepare("SELECT until FROM revocations WHERE owner = ?");
      this.#count = this.#database.prepare("SELECT count(*) AS rows FROM revocations");
      this.#put = this.#database.prepare(
        "INSERT INTO revocations VALUES (?, ?) ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
      );
      this.#all = this.#database.prepare("SELECT owner, until FROM revocations");
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Throws SQLite's errors. */
  get size(): number {
    return Number(this.#count.get()?.["rows"]);
  }

  /** Throws SQLite's errors: where it can't be told, nobody is let in. */
  revokedUntil(owner: string): number | undefined {
    const until = this.#get.get(owner)?.["until"];
    return until === undefined || until === null ? undefined : Number(until);
  }

  revoke(owner: string, untilMs: number): void {
    try {
      checkRoom(this, owner);
      this.#put.run(owner, untilMs);
    } catch (cause) {
      if (cause instanceof UnderpassError) throw cause;
      throw new UnderpassError("internal-error", "The relay can't keep a revocation at the moment.", {
        cause,
      });
    }
  }

  /** Throws SQLite's errors. */
  all(): readonly Revocation[] {
    return this.#all.all().map(({ owner, until }) => ({ owner: String(owner), untilMs: Number(until) }));
  }

  close(): void {
    this.#database.close();
  }
}
