import { CountedOrigin } from "../netns/rolling/counted-origin.ts";

/** One origin for each tunnel, each of which counts what it sees. */
export class CountedOrigins {
  readonly names: readonly [string, ...string[]];

  private constructor(private readonly origins: ReadonlyMap<string, CountedOrigin>) {
    this.names = [...origins.keys()] as [string, ...string[]];
  }

  static async listen(names: readonly string[]): Promise<CountedOrigins> {
    const origins = new Map<string, CountedOrigin>();
    for (const name of names) origins.set(name, await CountedOrigin.listen());
    return new CountedOrigins(origins);
  }

  portOf(name: string): number {
    return this.#of(name).port;
  }

  /** How often the origin of this tunnel saw this request. */
  seen(name: string, id: number): number {
    return this.#of(name).seen.get(id) ?? 0;
  }

  /** Numbers that came more than once, at one origin or at several. */
  get repeated(): number[] {
    const times = new Map<number, number>();
    for (const { seen } of this.origins.values())
      for (const [id, count] of seen) times.set(id, (times.get(id) ?? 0) + count);
    return [...times].flatMap(([id, count]) => (count > 1 ? [id] : []));
  }

  async close(): Promise<void> {
    await Promise.all([...this.origins.values()].map((origin) => origin.close()));
  }

  #of(name: string): CountedOrigin {
    const origin = this.origins.get(name);
    if (origin === undefined) throw new Error(`there is no origin of ${name}`);
    return origin;
  }
}
