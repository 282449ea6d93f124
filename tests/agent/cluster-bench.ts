import type { AgentSettings } from "../../agent/agent.ts";
import type { Driver } from "../../shared/driver.ts";
import { type Bench, type Dialled, FakeRelay, setUp } from "./agent-bench.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** Relays at https://NAME.example, and an agent that was given some of them. */
export class ClusterBench {
  readonly clock = new VirtualClock();
  readonly bench: Bench;
  readonly #sessions = new Map<string, Driver>();
  readonly #relays = new Map<string, FakeRelay>();
  /** Links that were welcomed, by relay. */
  readonly #links = new Map<string, Dialled[]>();

  /** `names`: those that there are, each of which names the others. `given`: those that the agent was given. */
  constructor(names: string, given: string, more: Partial<AgentSettings> = {}) {
    const urls = [...names].map(urlOf);
    for (const name of names) this.at(name).relays = urls.filter((url) => url !== urlOf(name));
    this.bench = setUp({
      ...{ name: "blue", links: 2, clock: this.clock },
      relays: [...given].map((name) => new URL(urlOf(name))),
      door: ({ hostname }) => this.at(hostname.replace(".example", "")),
      ...more,
    });
  }

  at(name: string): FakeRelay {
    const relay = this.#relays.get(name) ?? new FakeRelay(this.clock, this.#sessions);
    this.#relays.set(name, relay);
    return relay;
  }

  /** The next dial that a relay gets a HELLO of is answered with a fresh session, or the one that it resumes. */
  async answers(name: string): Promise<Dialled & { readonly driver: Driver }> {
    const dialled = await this.at(name).next();
    const driver = dialled.hello.resume === undefined ? dialled.welcome() : dialled.resume();
    this.#links.set(name, [...(this.#links.get(name) ?? []), dialled]);
    return { ...dialled, driver };
  }

  /** As `kill -9`: its links are reset, nobody answers. */
  kill(name: string): void {
    this.at(name).isDown = true;
    for (const { link } of this.#links.get(name) ?? []) link.destroy();
  }

  /** Dials that each relay got so far, as `a2 b1`. */
  get dials(): string {
    return [...this.#relays].map(([name, { dials }]) => `${name}${dials}`).join(" ");
  }
}

export function urlOf(name: string): string {
  return `https://${name}.example`;
}
