import type { Revocation } from "../../relay/auth/revocations.ts";
import type { RevokedRegistry, RevokedWatcher } from "../../relay/cluster/revoked.ts";
import { UnderpassError } from "../../shared/errors.ts";

/** What the relays of a test agree on. It may be out of reach for one of them, and come back empty. */
export class MemoryRevoked {
  readonly dates = new Map<string, number>();
  readonly ways = new Set<RevokedWay>();

  way(): RevokedWay {
    const way = new RevokedWay(this);
    this.ways.add(way);
    return way;
  }
}

export class RevokedWay implements RevokedRegistry {
  /** How often something was written by this way. */
  puts = 0;
  #watcher: RevokedWatcher | undefined;
  #isBroken = false;

  constructor(private readonly registry: MemoryRevoked) {}

  async put({ owner, untilMs }: Revocation): Promise<void> {
    if (this.#isBroken) throw new UnderpassError("registry-unreachable");
    this.puts++;
    const { dates, ways } = this.registry;
    if ((dates.get(owner) ?? -1) >= untilMs) return;
    dates.set(owner, untilMs);
    for (const way of ways) way.tell({ owner, untilMs });
  }

  watch(watcher: RevokedWatcher): void {
    this.#watcher = watcher;
    this.mend();
  }

  tell(revocation: Revocation): void {
    if (!this.#isBroken) this.#watcher?.put(revocation);
  }

  break(): void {
    this.#isBroken = true;
    this.#watcher?.lost();
  }

  /** All that is there is told. */
  mend(): void {
    this.#isBroken = false;
    this.#watcher?.begun();
    for (const [owner, untilMs] of this.registry.dates) this.tell({ owner, untilMs });
    this.#watcher?.complete();
  }
}
