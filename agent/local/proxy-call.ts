import type { Code } from "../../shared/errors.ts";
import type { PipeEnd, PipeHandler } from "../../shared/pipe.ts";
import type { Caller } from "../caller.ts";

export interface ProxyCallHandler {
  /** The far end has accepted: its events are this handler's to take over, now. */
  opened(far: PipeEnd): void;
  failed(code: Code): void;
}

/** A stream that is being opened to a target, until one of the two is known. */
export class ProxyCall implements PipeHandler {
  readonly #far: PipeEnd;
  readonly #handler: ProxyCallHandler;
  #over = false;

  constructor(caller: Caller, target: string, handler: ProxyCallHandler) {
    this.#handler = handler;
    this.#far = caller.tcp(target, () => {
      if (this.#over) return;
      this.#over = true;
      handler.opened(this.#far);
    });
    this.#far.handler = this;
  }

  /** The program went away. Neither of the two is called then. */
  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#far.abort("cancelled");
  }

  // Before the opening nothing comes but a refusal.

  data(): void {
    this.#break();
  }

  drained(): void {}

  ended(): void {
    this.#break();
  }

  aborted(code: Code): void {
    if (this.#over) return;
    this.#over = true;
    this.#handler.failed(code);
  }

  #break(): void {
    if (this.#over) return;
    this.#far.abort("stream-state");
    this.aborted("stream-failed");
  }
}
