import type { Memory } from "../shared/mux/memory.ts";
import type { AgentSession } from "./agent-session.ts";

/** What a session without a link takes beside what it holds. */
const sessionBytes = 10_240;

/** The sessions without a link, the longest so first, and what they hold: a quarter of the memory, the largest ends first. */
export class Suspended {
  private readonly held = new Map<AgentSession, number>();
  private bytes = 0;

  constructor(private readonly memory: Memory) {}

  /** A session has got or lost its link, or has ended. */
  changed(session: AgentSession): void {
    const known = this.held.get(session);
    const { driver } = session;
    if (known === undefined && !driver.hasLink && !driver.session.over) {
      const bytes = driver.session.heldBytes + sessionBytes;
      this.held.set(session, bytes);
      this.bytes += bytes;
      this.bound();
    } else if (known !== undefined && driver.hasLink) this.forget(session);
  }

  has(session: AgentSession): boolean {
    return this.held.has(session);
  }

  /** Idempotent. */
  forget(session: AgentSession): void {
    this.bytes -= this.held.get(session) ?? 0;
    this.held.delete(session);
  }

  /** The one that has waited longest among those that `belongs` says, if there is one. */
  longest(belongs: (session: AgentSession) => boolean): AgentSession | undefined {
    for (const session of this.held.keys()) if (belongs(session)) return session;
    return undefined;
  }

  private bound(): void {
    const cap = this.memory.capBytes / 4;
    while (this.bytes > cap) {
      let largest: AgentSession | undefined;
      for (const [session, bytes] of this.held)
        if (largest === undefined || bytes > (this.held.get(largest) ?? 0)) largest = session;
      if (largest === undefined) return;
      largest.driver.session.lost("link-lost");
    }
  }
}
