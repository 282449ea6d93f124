import type { Clock } from "./clock.ts";

/** One request after the other would go there and back each time, which cost a quarter of them (measured on workerd). */
const restAfterMs = 50;

export interface RestOwner {
  /** Nothing goes on now. */
  readonly isRestful: boolean;
  rested(resting: boolean): void;
}

/** Whether nothing has gone on for a moment: true only some time after it is so, false at once. */
export class AtRest {
  value = false;
  private cancel: (() => void) | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly owner: RestOwner,
  ) {}

  /** Something may have begun or ended. */
  note(): void {
    if (!this.owner.isRestful) {
      if (this.value) this.set(false);
    } else if (!this.value && this.cancel === undefined) {
      this.cancel = this.clock.at(this.clock.now() + restAfterMs, () => {
        this.cancel = undefined;
        if (!this.value && this.owner.isRestful) this.set(true);
      });
    }
  }

  set(value: boolean): void {
    this.stop();
    this.value = value;
    this.owner.rested(value);
  }

  /** Forgets all of it, and tells nobody. */
  stop(): void {
    this.cancel?.();
    this.cancel = undefined;
    this.value = false;
  }
}
