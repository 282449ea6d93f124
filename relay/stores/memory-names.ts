import type { Kind } from "../../shared/kind.ts";
import type { NameRow, NameStore } from "../store.ts";

/** Names of this process alone; they end with it. `changed` is told each change, for whoever keeps them elsewhere. */
export class MemoryNames implements NameStore {
  readonly #rows = new Map<string, NameRow>();
  readonly #holders = new Map<string, string>();
  readonly #countByOwner = new Map<string, number>();
  /** Names without an agent, in the order in which they lapse: so `sweep` looks at no more than it removes. */
  readonly #reserved = new Map<string, NameRow>();
  readonly #left = new Map<string, NameRow>();

  constructor(private readonly changed: (name: string, row: NameRow) => void = () => {}) {}

  get size(): number {
    return this.#rows.size;
  }

  countOf(owner: string): number {
    return this.#countByOwner.get(owner) ?? 0;
  }

  get(name: string): NameRow | undefined {
    return this.#rows.get(name);
  }

  holder(kind: Kind, port: number): string | undefined {
    return this.#holders.get(`${kind} ${port}`);
  }

  withPort(): readonly string[] {
    return [...this.#holders.values()];
  }

  update(name: string, change: (row: NameRow | undefined) => NameRow | undefined): NameRow | undefined {
    const before = this.#rows.get(name);
    const row = change(before);
    if (row === before || row === undefined) return before;
    this.put(name, row);
    this.changed(name, row);
    return row;
  }

  /** Without telling: for what was kept. */
  put(name: string, row: NameRow): void {
    this.#remove(name);
    this.#rows.set(name, row);
    if (row.port !== undefined) this.#holders.set(`${row.kind} ${row.port}`, name);
    this.#countByOwner.set(row.owner, this.countOf(row.owner) + 1);
    if (Number.isFinite(row.lapsesAtMs))
      (row.leftAtMs === undefined ? this.#reserved : this.#left).set(name, row);
  }

  sweep(nowMs: number): number {
    let removed = 0;
    for (const waiting of [this.#reserved, this.#left]) {
      for (const [name, { lapsesAtMs }] of waiting) {
        if (lapsesAtMs > nowMs) break;
        this.#remove(name);
        removed++;
      }
    }
    return removed;
  }

  /** There is no other process. */
  inherit(): void {}

  #remove(name: string): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    this.#rows.delete(name);
    if (row.port !== undefined) this.#holders.delete(`${row.kind} ${row.port}`);
    this.#reserved.delete(name);
    this.#left.delete(name);
    const rest = this.countOf(row.owner) - 1;
    if (rest > 0) this.#countByOwner.set(row.owner, rest);
    else this.#countByOwner.delete(row.owner);
  }
}
