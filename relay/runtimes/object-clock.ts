import type { Clock } from "../../shared/clock.ts";

/** Deadlines that are further away than this don't keep an object awake: they are told by its one alarm. */
const farMs = 15_000;
/** Timers overflow above this. */
const maxTimerMs = 2_147_483_647;

/** What a clock needs of an object's storage. */
export interface AlarmStorage {
  setAlarm(atMs: number): Promise<void>;
  deleteAlarm(): Promise<void>;
}

interface Deadline {
  readonly atMs: number;
  readonly run: () => void;
}

/**
 * The time of an object that sleeps: while it is awake all deadlines are timers, which cost nothing; before it sleeps
 * the next of those that are far becomes its alarm. What it runs is lost with the object: whoever is taken up again
 * asks again. workerd's time stands still while code runs, and `performance.now()` is the date: so the date serves for both.
 *
 * It has no end of a turn to wait for. The first `soon` of a millisecond is a microtask, so that a lone request does
 * not wait; those that follow in it are gathered by a timer of 0. Measured with 32 visitors: 3,500 requests/s against
 * 2,100 with microtasks alone (p99 32 against 100 ms) and 3,000 with timers alone, which cost one visitor 15 %.
 */
export class ObjectClock implements Clock {
  private readonly deadlines = new Set<Deadline>();
  private awake = true;
  /** For the next deadline that is far, while awake. */
  private timer: { readonly id: ReturnType<typeof setTimeout>; readonly atMs: number } | undefined;
  private quickMs = 0;

  /** What the object's alarm is set to, as far as is known. */
  alarmMs: number | undefined;

  constructor(private readonly storage: AlarmStorage) {}

  now(): number {
    return Date.now();
  }
  date(): number {
    return Date.now();
  }

  at(atMs: number, run: () => void): () => void {
    const delayMs = Math.ceil(atMs - Date.now());
    if (delayMs <= farMs) {
      const timer = setTimeout(run, Math.max(0, delayMs));
      return () => clearTimeout(timer);
    }
    const deadline = { atMs, run };
    this.deadlines.add(deadline);
    this.arrange(atMs);
    // A timer or alarm that comes too early finds nothing to do.
    return () => void this.deadlines.delete(deadline);
  }

  soon(run: () => void): void {
    const nowMs = Date.now();
    if (nowMs === this.quickMs) {
      setTimeout(run, 0);
      return;
    }
    this.quickMs = nowMs;
    queueMicrotask(run);
  }

  /** The object may sleep from now on. */
  rest(): void {
    this.awake = false;
    clearTimeout(this.timer?.id);
    this.timer = undefined;
    this.setAlarm(this.nextMs());
  }

  /** It must not sleep, until `rest`. */
  wake(): void {
    this.awake = true;
    this.arrange(this.nextMs());
  }

  /** The alarm has come: runs what is due. */
  ring(): void {
    this.alarmMs = undefined;
    this.runDue();
    if (!this.awake) this.setAlarm(this.nextMs());
  }

  private arrange(atMs: number | undefined): void {
    if (atMs === undefined) return;
    if (!this.awake) {
      if (this.alarmMs === undefined || atMs < this.alarmMs) this.setAlarm(atMs);
      return;
    }
    if (this.timer !== undefined && this.timer.atMs <= atMs) return;
    clearTimeout(this.timer?.id);
    const id = setTimeout(() => this.ringInside(), Math.min(maxTimerMs, Math.max(0, atMs - Date.now())));
    this.timer = { id, atMs };
  }

  private ringInside(): void {
    this.timer = undefined;
    this.runDue();
    if (this.awake) this.arrange(this.nextMs());
  }

  private runDue(): void {
    const nowMs = Date.now();
    for (const deadline of this.deadlines)
      if (deadline.atMs <= nowMs && this.deadlines.delete(deadline)) deadline.run();
  }

  private nextMs(): number | undefined {
    let nextMs: number | undefined;
    for (const { atMs } of this.deadlines) if (nextMs === undefined || atMs < nextMs) nextMs = atMs;
    return nextMs;
  }

  /** Each change is a write to be paid for. */
  private setAlarm(atMs: number | undefined): void {
    if (atMs === this.alarmMs) return;
    this.alarmMs = atMs;
    void (atMs === undefined ? this.storage.deleteAlarm() : this.storage.setAlarm(atMs));
  }
}
