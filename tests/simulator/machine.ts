import type { Clock } from "../../shared/clock.ts";
import type { Happening, World } from "./world.ts";

export interface MachineOptions {
  /** What its clock shows at the beginning of the world: no two machines agree. */
  readonly startMs: number;
  readonly dateMs: number;
}

/** One process of the simulation, and its clock. It can be stopped and go on, sleep, and die. */
export class Machine implements Clock {
  dead = false;
  /** Timers that are set and have not fired. */
  timers = 0;
  /** When it went on after its last stop. */
  wentOnMs = Number.NEGATIVE_INFINITY;
  /** Called before anything from outside reaches it. */
  onHear: (() => void) | undefined;
  /** Called when it dies, for its sockets. */
  onDeath: (() => void) | undefined;
  #offsetMs: number;
  #dateOffsetMs: number;
  /** A timer that fires has its time, whatever rounding says. */
  #latestMs = Number.NEGATIVE_INFINITY;
  #stopped = false;
  #goingOn = false;
  #timersFirst = true;
  #heard: (() => void)[] = [];
  #late: (() => void)[] = [];
  #soon: (() => void)[] = [];

  constructor(
    readonly world: World,
    options: MachineOptions,
  ) {
    this.#offsetMs = options.startMs - world.nowMs;
    this.#dateOffsetMs = options.dateMs - options.startMs;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  now(): number {
    if (!this.stopped) this.#latestMs = Math.max(this.#latestMs, this.world.nowMs + this.#offsetMs);
    return this.#latestMs;
  }

  date(): number {
    return Math.floor(this.now() + this.#dateOffsetMs);
  }

  at(atMs: number, run: () => void): () => void {
    let happening: Happening | undefined;
    let waiting = true;
    this.timers++;
    const done = (): void => {
      waiting = false;
      if (!this.dead) this.timers--;
    };
    const fire = (): void => {
      if (!waiting || this.dead) return;
      if (this.stopped) {
        this.#late.push(fire);
        return;
      }
      // It slept meanwhile, and its clock with it.
      if (this.world.nowMs + this.#offsetMs < atMs - 0.001) {
        happening = this.world.at(atMs - this.#offsetMs, fire);
        return;
      }
      this.#latestMs = Math.max(this.#latestMs, atMs);
      done();
      run();
    };
    happening = this.world.at(atMs - this.#offsetMs, fire);
    return () => {
      if (!waiting) return;
      done();
      if (happening !== undefined) happening.run = undefined;
    };
  }

  soon(run: () => void): void {
    if (this.#soon.push(run) === 1) this.world.atTurnEnd(() => this.#endTurn());
  }

  /** Something from outside reaches this process: now, or when it runs again. */
  hear(run: () => void): void {
    if (this.dead) return;
    const hear = (): void => {
      this.onHear?.();
      run();
    };
    if (this.isBehind) this.#heard.push(hear);
    else hear();
  }

  /** Something from outside waits for it, or would: it is stopped, or goes on only now. */
  get isBehind(): boolean {
    return this.stopped || this.#goingOn;
  }

  /** SIGSTOP for `ms`, unless it is stopped already; what comes meanwhile waits. `asleep`: its clock stands still, and only the date goes on. */
  stop(ms: number, options: { readonly asleep: boolean; readonly timersFirst: boolean }): void {
    if (this.dead || this.stopped) return;
    this.now();
    this.#stopped = true;
    this.#timersFirst = options.timersFirst;
    this.world.at(this.world.nowMs + ms, () => {
      if (options.asleep) {
        this.#offsetMs -= ms;
        this.#dateOffsetMs += ms;
      }
      this.#stopped = false;
      if (!this.dead) this.#goOn();
    });
  }

  /** Somebody sets the date. */
  jump(ms: number): void {
    this.#dateOffsetMs += ms;
  }

  /** kill -9: nothing of it runs any more. */
  kill(): void {
    if (this.dead) return;
    this.dead = true;
    this.timers = 0;
    this.#heard = [];
    this.#late = [];
    this.#soon = [];
    this.onDeath?.();
  }

  /** What came while it was stopped, before anything that comes from now on. */
  #goOn(): void {
    this.#goingOn = true;
    this.wentOnMs = this.world.nowMs;
    this.world.at(this.world.nowMs, () => {
      if (this.stopped || this.dead) return;
      const late = this.#late;
      this.#late = [];
      if (this.#timersFirst) this.#runAll(late);
      for (let heard = this.#heard; heard.length > 0; heard = this.#heard) {
        this.#heard = [];
        this.#runAll(heard);
      }
      this.#goingOn = false;
      if (!this.#timersFirst) this.#runAll(late);
    });
    if (this.#soon.length > 0) this.world.atTurnEnd(() => this.#endTurn());
  }

  #runAll(list: readonly (() => void)[]): void {
    for (const run of list) {
      if (this.dead) return;
      run();
      this.world.settle();
    }
  }

  #endTurn(): void {
    if (this.stopped || this.dead) return;
    const soon = this.#soon;
    this.#soon = [];
    for (const run of soon) run();
  }
}
