import type { Clock } from "../shared/clock.ts";
import { Driver } from "../shared/driver.ts";
import type { DriverHandler, DriverOptions } from "../shared/driver-handler.ts";
import type { Code } from "../shared/errors.ts";
import type { Session } from "../shared/mux/session.ts";
import type { GoawayKind } from "../shared/mux/session-handler.ts";
import type { Stream, StreamHandler } from "../shared/mux/stream.ts";
import type { AgentSession } from "./agent-session.ts";
import type { SessionFacts } from "./sleep.ts";

/** Who is told what happens to sessions. */
export interface SessionWatcher {
  opened(agent: AgentSession, stream: Stream, fields: Uint8Array): StreamHandler;
  /** It says that it will not come back, and ends within the grace. */
  saidBye(agent: AgentSession, graceMs: number): void;
  linkState(agent: AgentSession, state: "up" | "suspect" | "lost"): void;
  linkSlow(agent: AgentSession): void;
  /** Something came on its link. */
  progress(agent: AgentSession): void;
  /** Absent where no platform puts the relay to sleep. */
  readonly rested?: ((agent: AgentSession) => void) | undefined;
  over(agent: AgentSession, code: Code): void;
}

/**
 * An agent's session with its driver, of which it is the handler itself: thousands of idle ones weigh, and a closure for
 * each event took 0.5 KiB of each (measured).
 */
export class LivingSession implements AgentSession, DriverHandler {
  readonly id: string;
  readonly secret: string;
  readonly name: string;
  readonly kind: AgentSession["kind"];
  readonly offersEgress: boolean;
  readonly owner: string;
  readonly driver: Driver;
  readonly instance: string;
  readonly slot: number;
  claims: AgentSession["claims"];
  attempt: number;
  generation: number;
  leaving = false;
  saidBye = false;
  graceUntilMs = Number.POSITIVE_INFINITY;
  cancelGrace?: () => void;
  cancelExpiry?: () => void;
  readonly mayRest?: () => boolean;
  readonly rested?: () => void;

  constructor(
    facts: SessionFacts,
    session: Session,
    clock: Clock,
    private readonly watcher: SessionWatcher,
    options: DriverOptions,
  ) {
    this.id = facts.id;
    this.secret = facts.secret;
    this.name = facts.name;
    this.kind = facts.kind;
    this.offersEgress = facts.offersEgress;
    this.owner = facts.owner;
    this.instance = facts.instance;
    this.slot = facts.slot;
    this.claims = facts.claims;
    this.attempt = facts.attempt;
    this.generation = facts.generation;
    const { rested } = watcher;
    if (rested !== undefined) {
      this.mayRest = () => !this.leaving && !this.saidBye;
      this.rested = () => rested(this);
    }
    this.driver = new Driver(session, clock, this, options);
  }

  opened(stream: Stream, fields: Uint8Array): StreamHandler {
    return this.watcher.opened(this, stream, fields);
  }

  goaway(kind: GoawayKind, _code: Code, graceMs: number): void {
    if (kind === "bye") this.watcher.saidBye(this, graceMs);
  }

  linkState(state: "up" | "suspect" | "lost"): void {
    this.watcher.linkState(this, state);
  }

  linkSlow(): void {
    this.watcher.linkSlow(this);
  }

  doubted(): void {}

  progress(): void {
    this.watcher.progress(this);
  }

  over(code: Code): void {
    this.watcher.over(this, code);
  }
}
