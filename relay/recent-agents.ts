import type { AgentSession } from "./agent-session.ts";

const recentLimits = {
  maxRemembered: 100_000,
} as const;

export interface RecentAgent {
  readonly generation: number;
  readonly saidBye: boolean;
  readonly untilMs: number;
}

/** By name and instance: who came, was superseded, or left within the resume window. */
export class RecentAgents {
  /** The longest unseen first. */
  private readonly agents = new Map<string, RecentAgent>();

  constructor(private readonly windowMs: number) {}

  find({ name, instance }: Pick<AgentSession, "name" | "instance">, nowMs: number): RecentAgent | undefined {
    const known = this.agents.get(`${name} ${instance}`);
    return known !== undefined && known.untilMs > nowMs ? known : undefined;
  }

  /** Keeps an instance's generation for the window from now. */
  remember(
    { name, instance, generation }: AgentSession,
    nowMs: number,
    { saidBye }: { readonly saidBye?: boolean } = {},
  ): void {
    const key = `${name} ${instance}`;
    const before = this.agents.get(key)?.saidBye === true;
    this.agents.delete(key);
    this.agents.set(key, { generation, saidBye: saidBye ?? before, untilMs: nowMs + this.windowMs });
    for (const [oldest, { untilMs }] of this.agents) {
      if (untilMs > nowMs && this.agents.size <= recentLimits.maxRemembered) return;
      this.agents.delete(oldest);
    }
  }

  /** Until when those of a name are remembered, but for these instances. */
  untilMs(name: string, but: ReadonlySet<string>): number {
    let latestMs = 0;
    for (const [key, { untilMs }] of this.agents)
      if (key.startsWith(`${name} `) && !but.has(key.slice(name.length + 1)))
        latestMs = Math.max(latestMs, untilMs);
    return latestMs;
  }
}
