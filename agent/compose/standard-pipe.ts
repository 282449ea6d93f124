import type { Clock } from "../../shared/clock.ts";
import { type Code, codes, UnderpassError } from "../../shared/errors.ts";
import type { PipeEnd, PipeHandler } from "../../shared/pipe.ts";
import { deafPipeHandler } from "../../shared/pipe-ends/deaf.ts";
import { type Splice, splice } from "../../shared/splice.ts";
import type { Caller } from "../caller.ts";
import type { AgentEvent } from "../screen/events.ts";
import type { LocalDoor } from "./local-door.ts";

/**
 * When the far end has said all, whoever holds our stdin often keeps it open without another word: so long after the
 * last byte it counts as ended.
 */
const lingerMs = 3_000;

export interface StandardPipeOptions {
  readonly caller: Caller;
  /** stdin and stdout. */
  readonly near: PipeEnd;
  readonly clock: Clock;
  readonly onEvent: (event: AgentEvent) => void;
  /** It is done; with a reason where it did not end in order. */
  readonly over: (reason: UnderpassError | undefined) => void;
}

/** `connect --stdio`: one stream to the private tunnel, and nothing that listens. */
export class StandardPipe implements LocalDoor {
  readonly urls = ["stdio:"];
  readonly #pipe: Splice;

  constructor({ caller, near, clock, onEvent, over }: StandardPipeOptions) {
    const far = caller.tcp(undefined, () => {});
    this.#pipe = splice(new LingeringEnd(near, clock), far, ({ forth, back, code }) => {
      onEvent({
        ...{ event: "stream", kind: "connect", bytesIn: forth, bytesOut: back },
        ...(code === undefined ? { end: "closed" } : { end: "reset", code }),
      });
      // Nobody reads our stdout any more: that is no fault.
      if (code === undefined || code === "cancelled") return over(undefined);
      const reason = new UnderpassError(code);
      onEvent({ event: "error", code, message: codes[code].meaning, fatal: true });
      over(reason);
    });
  }

  get openStreams(): number {
    return this.#pipe.over ? 0 : 1;
  }

  /** At once: whoever stops it is the one who uses it. */
  async close(): Promise<void> {
    this.#pipe.abort("cancelled");
  }
}

/** An end that counts as ended by itself a while after what was to be written to it has ended. */
class LingeringEnd implements PipeEnd, PipeHandler {
  handler: PipeHandler = deafPipeHandler;
  readonly #end: PipeEnd;
  readonly #clock: Clock;
  #cancel: (() => void) | undefined;
  #ended = false;
  #writeEnded = false;

  constructor(end: PipeEnd, clock: Clock) {
    this.#end = end;
    this.#clock = clock;
    // Set by `splice` after its own: nothing comes before the next turn.
    end.handler = this;
  }

  write(bytes: Uint8Array): number {
    return this.#end.write(bytes);
  }

  end(): void {
    this.#end.end();
    this.#writeEnded = true;
    this.#linger();
  }

  abort(code: Code): void {
    this.#cancel?.();
    this.#end.abort(code);
  }

  held(bytes: number): void {
    this.#end.held(bytes);
  }

  data(bytes: Uint8Array): void {
    if (this.#ended) return;
    if (this.#writeEnded) this.#linger();
    this.handler.data(bytes);
  }

  drained(queued: number): void {
    this.handler.drained(queued);
  }

  ended(): void {
    this.#cancel?.();
    if (this.#ended) return;
    this.#ended = true;
    this.handler.ended();
  }

  aborted(code: Code): void {
    this.#cancel?.();
    this.handler.aborted(code);
  }

  #linger(): void {
    this.#cancel?.();
    if (!this.#ended) this.#cancel = this.#clock.at(this.#clock.now() + lingerMs, () => this.ended());
  }
}
