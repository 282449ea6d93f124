import { pingText, pongText } from "../../shared/liveness.ts";
import type { Sleep, SleepingSession } from "../sleep.ts";
import type { ObjectClock } from "./object-clock.ts";

/** Sessions without links stand under this and their id. */
export const sessionPrefix = "session:";
/** An object sleeps after 10 s in which nothing happens and no timer waits. */
const stirMs = 5_000;

/**
 * When an object may sleep. While something is under way a timer keeps it awake and pings come in: should it end in
 * spite of that, the agent's next ping finds out. At rest the platform answers pings, and nothing comes in at all.
 */
export class ObjectSleep implements Sleep {
  /** Called now and then while the object has to be awake: what rests in it is to be looked after. */
  onWatch: () => void = () => {};
  private readonly stirring = new Set<object>();
  private readonly stored = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private awakeSinceMs = 0;
  private awakeMs = 0;

  constructor(
    private readonly ctx: DurableObjectState,
    private readonly clock: ObjectClock,
  ) {}

  /** The object is there: it may sleep unless something stirs already. `stored`: the keys of sessions that are kept. */
  begin(stored: Iterable<string>): void {
    for (const key of stored) this.stored.add(key);
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
    this.stored.add(sessionPrefix + session.id);
    void this.ctx.storage.put(sessionPrefix + session.id, session);
  }

  forget(id: string): void {
    const key = sessionPrefix + id;
    if (this.stored.delete(key)) void this.ctx.storage.delete(key);
  }

  private wake(): void {
    this.awakeSinceMs = Date.now();
    this.ctx.setWebSocketAutoResponse();
    this.clock.wake();
    this.timer = setTimeout(() => this.stayAwake(), stirMs);
  }

  private rest(): void {
    clearTimeout(this.timer);
    this.ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(pingText, pongText));
    this.clock.rest();
  }

  private stayAwake(): void {
    this.timer = setTimeout(() => this.stayAwake(), stirMs);
    this.onWatch();
  }
}
