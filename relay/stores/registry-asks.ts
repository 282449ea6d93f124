import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";

export const askLimits = {
  /** Reads and writes at once; so many more wait, and the rest fails at once. */
  maxUnderWay: 64,
  maxWaiting: 4_096,
  /** A registry that does not say within it that it failed has failed. What it does later is found by the next write. */
  answersWithinMs: 5_000,
} as const;

export interface RegistryAsksOptions {
  readonly clock: Clock;
  /** The registry can't be read or written, and has not said so itself; told once until it can again. */
  readonly fault: (error: Error) => void;
  /** It can again. */
  readonly recovered: () => void;
}

/** What is asked of a registry, which takes its time: a bounded number at once, each for a bounded time. */
export class RegistryAsks {
  /** The registry has said that it is out of reach: nobody waits for it. */
  isCut = false;
  readonly #options: RegistryAsksOptions;
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;
  #failing = false;
  #isTold = false;
  #closed = false;

  constructor(options: RegistryAsksOptions) {
    this.#options = options;
  }

  get isBusy(): boolean {
    return this.#underWay >= askLimits.maxUnderWay;
  }

  /** The last ask failed. */
  get isFailing(): boolean {
    return this.#failing || this.isCut;
  }

  /** Faults are told no more. */
  close(): void {
    this.#closed = true;
  }

  /** Rejects with `registry-unreachable`, and with nothing else. */
  async ask<T>(run: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const { maxUnderWay, maxWaiting, answersWithinMs } = askLimits;
    if (this.isCut) throw outOfReach();
    if (this.#underWay < maxUnderWay) this.#underWay++;
    else if (this.#waiting.length >= maxWaiting) throw outOfReach();
    else await new Promise<void>((go) => this.#waiting.push(go));
    const late = Promise.withResolvers<never>();
    const cancel = clock.at(clock.now() + answersWithinMs, () =>
      late.reject(new Error(`It did not answer within ${answersWithinMs} ms.`)),
    );
    try {
      const answer = await Promise.race([run(), late.promise]);
      const recovers = this.#failing;
      this.#failing = false;
      this.#isTold = false;
      if (recovers) this.#options.recovered();
      return answer;
    } catch (cause) {
      this.#failing = true;
      if (!this.#isTold && !this.isCut && !this.#closed) {
        this.#isTold = true;
        this.#options.fault(cause instanceof Error ? cause : new Error(String(cause)));
      }
      throw outOfReach();
    } finally {
      cancel();
      const next = this.#waiting.shift();
      if (next === undefined) this.#underWay--;
      else next();
    }
  }
}

export function outOfReach(): UnderpassError {
  return new UnderpassError("registry-unreachable");
}
