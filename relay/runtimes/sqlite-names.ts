import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import { type Kind, kinds } from "../../shared/kind.ts";
import type { NameRow, NameStore } from "../store.ts";

export interface SqliteNamesOptions {
  readonly clock: Pick<Clock, "now" | "date">;
  /** Unlike that of any other process, before or beside this one. */
  readonly process: string;
  /** The store can't be read or written; told once until a write succeeds again. */
  readonly fault: (error: Error) => void;
}

const sqliteLimits = {
  /** How long a write waits for another process's, and with it all else here: each takes well under 1 ms. */
  busyMs: 200,
  /** Names that are here are protected from another process's sweep so long before they would lapse there. */
  aheadMs: 180_000,
} as const;

const schemaVersion = 2;

/**
 * `live`: the process that last had an agent of the name; "" one that has ended since; null: the agent left first.
 * `lapses_at` null: not while it is live. Dates in ms. Counts stand in a table of their own, as `count(*)` reads all.
 */
const schema = `
  CREATE TABLE names (
    name TEXT PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL,
    live TEXT, left_at INTEGER, bye INTEGER NOT NULL, lapses_at INTEGER, port INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX names_lapsing ON names (lapses_at) WHERE lapses_at IS NOT NULL;
  CREATE UNIQUE INDEX names_ports ON names (kind, port) WHERE port IS NOT NULL;
  CREATE TABLE counts (owner TEXT PRIMARY KEY, names INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TRIGGER name_added AFTER INSERT ON names BEGIN
    INSERT INTO counts VALUES (new.owner, 1), ('', 1) ON CONFLICT DO UPDATE SET names = names + 1;
  END;
  CREATE TRIGGER name_removed AFTER DELETE ON names BEGIN
    UPDATE counts SET names = names - 1 WHERE owner IN (old.owner, '');
    DELETE FROM counts WHERE owner = old.owner AND names = 0;
  END;
  CREATE TRIGGER name_given AFTER UPDATE OF owner ON names WHEN new.owner <> old.owner BEGIN
    UPDATE counts SET names = names - 1 WHERE owner = old.owner;
    DELETE FROM counts WHERE owner = old.owner AND names = 0;
    INSERT INTO counts VALUES (new.owner, 1) ON CONFLICT DO UPDATE SET names = names + 1;
  END;
  PRAGMA user_version = ${schemaVersion};
`;

/** What an older file lacks, by its version. */
const upgrades: readonly string[] = [
  "",
  `ALTER TABLE names ADD COLUMN port INTEGER;
   CREATE UNIQUE INDEX names_ports ON names (kind, port) WHERE port IS NOT NULL;
   PRAGMA user_version = 2;`,
];

/**
 * Names in a SQLite file, for Bun and Deno. WAL: an old relay process that drains and a new one share it, and what was
 * written survives kill -9 (a power cut may cost the last moments: synchronous=NORMAL never waits for the disk).
 */
export class SqliteNames implements NameStore {
  readonly #options: SqliteNamesOptions;
  readonly #database: DatabaseSync;
  readonly #statements: Record<keyof typeof sql, StatementSync>;
  readonly #startedAtMs: number;
  #failing = false;
  #closed = false;

  /** Opens `path`, a file that is there already (so that its mode is the caller's choice). Throws SQLite's errors. */
  constructor(path: string, options: SqliteNamesOptions) {
    this.#options = options;
    this.#startedAtMs = options.clock.now();
    this.#database = new DatabaseSync(path);
    try {
      this.#database.exec(`PRAGMA busy_timeout = ${sqliteLimits.busyMs}`);
      this.#setUp();
      this.#statements = prepared(this.#database);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  get size(): number {
    return this.countOf("");
  }

  countOf(owner: string): number {
    return this.#try(() => whole(this.#statements.count.get(owner)?.["names"]) ?? 0, 0);
  }

  get(name: string): NameRow | undefined {
    return this.#try(() => this.#read(name), undefined);
  }

  holder(kind: Kind, port: number): string | undefined {
    return this.#try(() => text(this.#statements.holder.get(kind, port)?.["name"]), undefined);
  }

  withPort(): readonly string[] {
    return this.#try(() => this.#statements.ported.all().map(({ name }) => String(name)), []);
  }

  update(name: string, change: (row: NameRow | undefined) => NameRow | undefined): NameRow | undefined {
    const done = this.#try(() => ({ row: this.#transaction(() => this.#change(name, change)) }), undefined);
    return done === undefined ? this.get(name) : done.row;
  }

  sweep(nowMs: number): number {
    const { process } = this.#options;
    return this.#try(() => {
      this.#statements.hold.run(process, this.#date(nowMs + sqliteLimits.aheadMs));
      return Number(this.#statements.sweep.run(this.#date(nowMs), process).changes);
    }, 0);
  }

  inherit(lapsesAtMs: number): void {
    this.#try(
      () => void this.#statements.inherit.run(this.#date(lapsesAtMs), this.#options.process),
      undefined,
    );
  }

  /** Whatever is asked after this finds nothing, and changes nothing. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#database.close();
  }

  #setUp(): void {
    const database = this.#database;
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    this.#transaction(() => {
      const version = whole(database.prepare("PRAGMA user_version").get()?.["user_version"]) ?? 0;
      if (version === 0) database.exec(schema);
      else for (const upgrade of upgrades.slice(version)) database.exec(upgrade);
      if (version > schemaVersion) throw new Error("It was made by a newer version of the relay.");
    });
  }

  #change(name: string, change: (row: NameRow | undefined) => NameRow | undefined): NameRow | undefined {
    const before = this.#read(name);
    const row = change(before);
    if (row === before || row === undefined) return before;
    const { owner, kind, port, place, leftAtMs, bye, lapsesAtMs } = row;
    this.#statements.put.run({
      name,
      owner,
      kind,
      live: place === "here" ? this.#options.process : place === "away" ? null : "",
      left_at: leftAtMs === undefined ? null : this.#date(leftAtMs),
      bye: bye ? 1 : 0,
      lapses_at: Number.isFinite(lapsesAtMs) ? this.#date(lapsesAtMs) : null,
      // A process that has the name now goes on having it, whoever writes the row.
      port: port ?? null,
      keeps: place === "elsewhere" && before?.place === "elsewhere" ? 1 : 0,
    });
    this.#failing = false;
    return row;
  }

  #read(name: string): NameRow | undefined {
    const found = this.#statements.get.get(name);
    if (found === undefined) return undefined;
    const { owner, kind, live, left_at: leftAt, bye, lapses_at: lapsesAt } = found;
    const port = whole(found["port"]);
    const place = live === null ? "away" : live === this.#options.process ? "here" : "elsewhere";
    const wroteLeftAtMs = this.#time(whole(leftAt));
    const leftAtMs = place === "elsewhere" ? Math.max(this.#startedAtMs, wroteLeftAtMs ?? 0) : wroteLeftAtMs;
    return {
      owner: String(owner),
      kind: kinds.find((known) => known === kind) ?? "http",
      ...(port !== undefined && { port }),
      place,
      ...(leftAtMs !== undefined && place !== "here" && { leftAtMs }),
      bye: bye === 1,
      lapsesAtMs: this.#time(whole(lapsesAt)) ?? Number.POSITIVE_INFINITY,
    };
  }

  /** Between BEGIN IMMEDIATE and COMMIT no other process writes. */
  #transaction<T>(run: () => T): T {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = run();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      // A failure of the disk may have ended the transaction already.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  /** A store that fails must not end tunnels that work: the failure is told once, and `otherwise` returned. */
  #try<T>(run: () => T, otherwise: T): T {
    if (this.#closed) return otherwise;
    try {
      return run();
    } catch (error) {
      // What `change` of an update says is meant for the caller.
      if (error instanceof UnderpassError) throw error;
      if (!this.#failing) this.#options.fault(error instanceof Error ? error : new Error(String(error)));
      this.#failing = true;
      return otherwise;
    }
  }

  /** Dates go on while no process runs, so they are what is kept; what counts here only rises. */
  #date(ms: number): number {
    const { clock } = this.#options;
    return Math.round(ms + clock.date() - clock.now());
  }

  #time(date: number | undefined): number | undefined {
    const { clock } = this.#options;
    return date === undefined ? undefined : date - clock.date() + clock.now();
  }
}

const sql = {
  get: "SELECT owner, kind, live, left_at, bye, lapses_at, port FROM names WHERE name = ?",
  ported: "SELECT name FROM names WHERE port IS NOT NULL",
  holder: "SELECT name FROM names WHERE kind = ? AND port = ?",
  put: `INSERT INTO names VALUES (:name, :owner, :kind, :live, :left_at, :bye, :lapses_at, :port)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, kind = excluded.kind,
      live = iif(:keeps, live, excluded.live), left_at = iif(:keeps, left_at, excluded.left_at),
      bye = excluded.bye, lapses_at = excluded.lapses_at, port = excluded.port`,
  count: "SELECT names FROM counts WHERE owner = ?",
  hold: "UPDATE names SET lapses_at = NULL WHERE live = ? AND lapses_at <= ?",
  sweep: "DELETE FROM names WHERE lapses_at <= ? AND live IS NOT ?",
  inherit: "UPDATE names SET lapses_at = ? WHERE live <> ? AND lapses_at IS NULL",
} as const;

function prepared(database: DatabaseSync): Record<keyof typeof sql, StatementSync> {
  const statements: Partial<Record<keyof typeof sql, StatementSync>> = {};
  return Object.assign(statements, {
    get: database.prepare(sql.get),
    ported: database.prepare(sql.ported),
    holder: database.prepare(sql.holder),
    put: database.prepare(sql.put),
    count: database.prepare(sql.count),
    hold: database.prepare(sql.hold),
    sweep: database.prepare(sql.sweep),
    inherit: database.prepare(sql.inherit),
  });
}

function whole(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
