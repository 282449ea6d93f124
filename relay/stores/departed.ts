import type { Clock } from "../../shared/clock.ts";
import type { NameEntry } from "../cluster/registry.ts";

const departedLimits = {
  maxRemembered: 100_000,
} as const;

interface Remembered {
  readonly generation: number;
  readonly untilMs: number;
}

/** Agents that were among those of a name until a moment ago: they do not take over from those who came meanwhile. */
export class Departed {
  /** So long two supervisors of one name must not fight (PROTOCOL.md section 3). */
  static readonly rememberedMs = 60_000;
  /** By name and instance, the longest gone first. */
  readonly #agents = new Map<string, Remembered>();

  constructor(private readonly clock: Clock) {}

  generationOf(name: string, instance: string): number | undefined {
    const known = this.#agents.get(`${name} ${instance}`);
    return known !== undefined && known.untilMs > this.clock.now() ? known.generation : undefined;
  }

  note(name: string, before: NameEntry | undefined, after: NameEntry | undefined): void {
    if (before === undefined || before.agents === after?.agents) return;
    const nowMs = this.clock.now();
    for (const { instance, generation } of before.agents) {
      if (after?.agents.some((agent) => agent.instance === instance)) continue;
      const key = `${name} ${instance}`;
      this.#agents.delete(key);
      this.#agents.set(key, { generation, untilMs: nowMs + Departed.rememberedMs });
    }
    for (const [oldest, { untilMs }] of this.#agents) {
      if (untilMs > nowMs && this.#agents.size <= departedLimits.maxRemembered) return;
      this.#agents.delete(oldest);
    }
  }
}
