import type { Clock } from "../../shared/clock.ts";
import { agentsAt, depart, withoutPort } from "../cluster/name-entry.ts";
import type { NameEntry } from "../cluster/registry.ts";
import type { NameRow } from "../store.ts";

/** A relay of which nothing else is known is believed to live so long after its last word. */
export const aliveMs = 150_000;

const none: readonly string[] = [];

export interface NameRowsOptions {
  readonly clock: Clock;
  readonly relay: string;
  readonly ttlMs: number;
  /** Whether a relay lives; absent: what it says of each name tells (`beatAt`). */
  readonly isAlive?: ((relay: string) => boolean) | undefined;
}

/** What an entry of the registry, whose times are dates, says to this relay; and what a row makes of an entry. */
export class NameRows {
  readonly #options: NameRowsOptions;
  /** When the death of a relay was noticed. */
  readonly #diedMs = new Map<string, number>();

  constructor(options: NameRowsOptions) {
    this.#options = options;
  }

  row(entry: NameEntry): NameRow {
    const { relay } = this.#options;
    const { owner, kind, port, bye } = entry;
    const facts = { owner, kind, ...(port !== undefined && { port }) };
    const lapsesNever = { bye: false, lapsesAtMs: Number.POSITIVE_INFINITY };
    if (agentsAt(entry, relay).length > 0) return { ...facts, place: "here", ...lapsesNever };
    if (this.relaysOf(entry).length > 0) return { ...facts, place: "elsewhere", ...lapsesNever };
    const lapsesAtMs = this.#time(entry.lapsesAt);
    // Those of a relay that has ended without a word left when that was noticed.
    const lostMs = this.lostMs(entry);
    if (lostMs !== undefined)
      return {
        ...{ ...facts, place: "away", bye: false, leftAtMs: lostMs },
        lapsesAtMs: Math.max(lapsesAtMs, lostMs + this.#options.ttlMs),
      };
    const left = entry.leftAt === undefined ? {} : { leftAtMs: this.#time(entry.leftAt) };
    return { ...facts, place: "away", bye, lapsesAtMs, ...left };
  }

  /** What stands there with `row` in the place of what `before` says. */
  entry(row: NameRow, before: NameEntry | undefined): NameEntry {
    const { clock, relay } = this.#options;
    const { owner, kind, port, place, bye, leftAtMs, lapsesAtMs } = row;
    const known = before === undefined ? undefined : this.row(before);
    const same = known?.owner === owner && known.lapsesAtMs > clock.now() ? { known, before } : undefined;
    const { generation = 0, exclusive = 0, beatAt = 0 } = before ?? {};
    const facts = { owner, kind, ...(port !== undefined && { port }) };
    const agents = same?.before?.agents ?? [];
    const isHere = same?.known.place === "here";
    if (place === "here") {
      // Who says so without having arrived is an agent of which nothing else is known.
      const own = { instance: relay, generation: generation + 1, relays: [relay] };
      const numbers = isHere
        ? { agents, generation }
        : { agents: [...agents, own], generation: generation + 1 };
      return { ...{ ...facts, ...numbers, exclusive, bye: false }, ...this.beat() };
    }
    if (isHere && before !== undefined) {
      const times = { leftAt: this.dateOf(leftAtMs ?? clock.now()), lapsesAt: this.dateOf(lapsesAtMs) };
      const left = depart(before, { relay, bye, keepsPlace: place === "elsewhere", ...times });
      return { ...withoutPort(left), ...facts };
    }
    // While agents are elsewhere nothing lapses, whatever was claimed here.
    if (same?.known.place === "elsewhere" && before !== undefined)
      return { ...withoutPort(before), ...facts };
    const isAsLong = same?.known.lapsesAtMs === lapsesAtMs && before !== undefined;
    const isAsLeft = same?.known.leftAtMs === leftAtMs && before?.leftAt !== undefined;
    return {
      ...{ ...facts, agents, generation, exclusive, beatAt, bye },
      ...(leftAtMs !== undefined && { leftAt: isAsLeft ? before.leftAt : this.dateOf(leftAtMs) }),
      lapsesAt: isAsLong ? before.lapsesAt : this.dateOf(lapsesAtMs),
    };
  }

  /** What an entry says of its time that has agents here. */
  beat(): Pick<NameEntry, "beatAt" | "lapsesAt"> {
    const nowAt = this.dateOf(this.#options.clock.now());
    return { beatAt: nowAt, lapsesAt: nowAt + Math.max(this.#options.ttlMs, aliveMs) };
  }

  /** The relays but this one that have agents of the name and live. Asked for each visitor. */
  relaysOf(entry: NameEntry): readonly string[] {
    const { relay } = this.#options;
    let relays: string[] | undefined;
    for (const place of entry.agents)
      for (const other of place.relays) {
        if (other === relay || relays?.includes(other) || !this.isAlive(other, entry)) continue;
        relays ??= [];
        relays.push(other);
      }
    return relays ?? none;
  }

  isAlive(relay: string, entry: NameEntry): boolean {
    const { clock, isAlive, relay: self } = this.#options;
    if (relay === self) return true;
    if (isAlive === undefined) return clock.date() - entry.beatAt < aliveMs;
    if (!isAlive(relay)) return false;
    if (this.#diedMs.size > 0) this.#diedMs.delete(relay);
    return true;
  }

  /** Since when the name's agents are lost with their relays; undefined: they are not. */
  lostMs(entry: NameEntry): number | undefined {
    let lostMs: number | undefined;
    for (const place of entry.agents)
      for (const relay of place.relays) {
        if (this.isAlive(relay, entry)) return undefined;
        lostMs = Math.max(lostMs ?? 0, this.#diedMsOf(relay, entry));
      }
    return lostMs;
  }

  hasLapsed(entry: NameEntry, nowMs: number): boolean {
    // Of most it is not worth a row.
    return this.#time(entry.lapsesAt) <= nowMs && this.row(entry).lapsesAtMs <= nowMs;
  }

  died(relay: string): void {
    if (!this.#diedMs.has(relay)) this.#diedMs.set(relay, this.#options.clock.now());
  }

  /** Of relays that have no agents any more, as far as is known, nothing is kept. */
  forgetUnless(hasAny: (relay: string) => boolean): void {
    for (const relay of this.#diedMs.keys()) if (!hasAny(relay)) this.#diedMs.delete(relay);
  }

  dateOf(ms: number): number {
    const { clock } = this.#options;
    return Math.round(ms + clock.date() - clock.now());
  }

  #diedMsOf(relay: string, entry: NameEntry): number {
    if (this.#options.isAlive === undefined) return this.#time(entry.beatAt);
    this.died(relay);
    return this.#diedMs.get(relay) ?? 0;
  }

  #time(date: number): number {
    const { clock } = this.#options;
    return date - clock.date() + clock.now();
  }
}
