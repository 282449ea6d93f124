const shareLimits = {
  /** Alone, a tunnel may have seven eighths of a session's streams; whoever else comes finds room. */
  ofFree: 7,
} as const;

/** How many streams the visitors of each tunnel have open at neighbours, as all of them share one session with each. */
export class HopShares {
  /** By tunnel and neighbour. */
  readonly #open = new Map<string, Map<string, number>>();

  /** Of the tunnel, at all neighbours. */
  of(tunnel: string): number {
    let open = 0;
    for (const count of this.#open.get(tunnel)?.values() ?? []) open += count;
    return open;
  }

  /** The session with this neighbour, which takes `free` streams more, has enough of this tunnel's: the rest is for others. */
  isFull(tunnel: string, neighbour: string, free: number): boolean {
    return (this.#open.get(tunnel)?.get(neighbour) ?? 0) >= shareLimits.ofFree * free;
  }

  add(tunnel: string, neighbour: string): void {
    const counts = this.#open.get(tunnel) ?? new Map<string, number>();
    counts.set(neighbour, (counts.get(neighbour) ?? 0) + 1);
    this.#open.set(tunnel, counts);
  }

  /** Takes back one `add`. */
  remove(tunnel: string, neighbour: string): void {
    const counts = this.#open.get(tunnel);
    const left = (counts?.get(neighbour) ?? 0) - 1;
    if (left > 0) counts?.set(neighbour, left);
    else counts?.delete(neighbour);
    if (counts?.size === 0) this.#open.delete(tunnel);
  }
}
