import { codes, UnderpassError } from "../../shared/errors.ts";
import type { Running } from "../compose/running.ts";
import type { EntryCommand } from "../config/entries.ts";
import type { AgentEvent } from "../screen/events.ts";

/** Puts together what an entry asks for, not started yet. Rejects with UnderpassError, such as `port-in-use`. */
export type ComposeEntry = (command: EntryCommand, onEvent: (event: AgentEvent) => void) => Promise<Running>;

/** What an entry asks for, from the moment it is put together until its last exchange is over. */
export class FleetRun {
  /** Resolves with what ended it, or with undefined after `stop`. Never rejects. */
  readonly ended: Promise<UnderpassError | undefined>;
  #running: Running | undefined;
  #stopped = false;

  /** `command` is what the file says, `composed` what is put together for it. */
  constructor(
    readonly command: EntryCommand,
    composed: EntryCommand,
    compose: ComposeEntry,
    onEvent: (event: AgentEvent) => void,
  ) {
    this.ended = this.#live(() => compose(composed, onEvent), onEvent);
  }

  get openStreams(): number {
    return this.#running?.openStreams ?? 0;
  }

  /** Lets open exchanges finish for `graceMs`, then closes all. Idempotent; resolves when it is done. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    await this.#running?.stop(graceMs);
    await this.ended;
  }

  abandon(): void {
    this.#running?.abandon();
  }

  async #live(
    compose: () => Promise<Running>,
    onEvent: (event: AgentEvent) => void,
  ): Promise<UnderpassError | undefined> {
    // Whoever made this run knows it before the first event comes.
    await undefined;
    let running: Running;
    try {
      running = await compose();
    } catch (error) {
      if (this.#stopped) return undefined;
      const reason =
        error instanceof UnderpassError ? error : new UnderpassError("internal-error", String(error));
      const { code, message } = reason;
      onEvent({ event: "error", code, message: message || codes[code].meaning, fatal: true });
      return reason;
    }
    this.#running = running;
    if (this.#stopped) await running.stop(0);
    else running.start();
    return await running.ended;
  }
}
