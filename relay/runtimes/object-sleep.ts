import { pingText, pongText } from "../../shared/driver.ts";
import type { Sleep, SleepingSession } from "../sleep.ts";
import type { ObjectClock } from "./object-clock.ts";

/** Sessions without links stand under this and their id. */
export const sessionPrefix = "session:";
/** What is kept by an earlier deployment may have another shape. */
const version = 1;
/** An object sleeps after 10 s in which nothing happens and no timer waits. */
const stirMs = 5_000;

/**
 * When an object may sleep. While something is under way a timer keeps it awake and pings come in: should it end in
 * spite of that, the agent's next ping finds out. At rest the platform answers pings, and nothing comes in at all.
 */
export class ObjectSleep implements Sleep {
  private readonly stirring = new Set<object>();
  private readonly stored = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private awakeSinceMs = 0;
  private awakeMs = 0;

  constructor(
    private readonly ctx: DurableObjectState,
    private readonly clock: ObjectClock,
  ) {}

  /** The object is there: it may sleep unless something stirs already. `stored`: sessions that are kept. */
  begin(stored: Iterable<string>): void {
    for (const id of stored) this.stored.add(id);
    if (this.stirring.size === 0) this.rest();
  }

  get isResting(): boolean {
    return this.stirring.size === 0;
  }

  /** How long it had to be awake so far, in ms. */
  get busyMs(): number {
    return this.awakeMs + (this.stirring.size > 0 ? Date.now() - this.awakeSinceMs : 0);
  }

  stirs(who: object): void {
    if (this.stirring.size === 0) this.wake();
    this.stirring.add(who);
  }

  rests(who: object): void {
    if (!this.stirring.delete(who) || this.stirring.size > 0) return;
    this.awakeMs += Date.now() - this.awakeSinceMs;
    this.rest();
  }

  keep(session: SleepingSession): void {
    this.stored.add(session.id);
    void this.ctx.storage.put(sessionPrefix + session.id, { version, session });
  }

  forget(id: string): void {
    if (this.stored.delete(id)) void this.ctx.storage.delete(sessionPrefix + id);
  }

  private wake(): void {
    this.awakeSinceMs = Date.now();
    this.ctx.setWebSocketAutoResponse();
    this.clock.wake();
    this.stayAwake();
  }

  private rest(): void {
    clearTimeout(this.timer);
    this.ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(pingText, pongText));
    this.clock.rest();
  }

  private stayAwake(): void {
    this.timer = setTimeout(() => this.stayAwake(), stirMs);
  }
}

/** Reads what `keep` has put. undefined: it is of another version. */
export function storedSession(value: unknown): SleepingSession | undefined {
  const stored = value as { readonly version?: number; readonly session?: SleepingSession };
  return stored.version === version ? stored.session : undefined;
}
