import { UnderpassError } from "../../shared/errors.ts";
import type { CallKind } from "../../shared/kind.ts";
import type { Agent } from "../agent.ts";
import type { Caller } from "../caller.ts";
import type { DialledLink } from "../command/options.ts";
import type { ReadyEvent } from "../screen/events.ts";
import { makeAgent, type Surroundings } from "./compose-agent.ts";
import type { LocalDoor } from "./local-door.ts";
import type { RelayPlace } from "./relay-place.ts";
import type { Running } from "./running.ts";

/** For what has been said to be acknowledged, and be it that the link is just lost. */
const lastWordsMs = 5_000;

export interface CallingOptions extends Surroundings {
  readonly link: DialledLink;
  readonly place: RelayPlace;
  readonly session: { readonly kind: CallKind; readonly name: string };
  /** What `ready` says. */
  readonly told: Pick<ReadyEvent, "kind" | "name" | "to">;
  /** Opens the door for this machine's programs, once the relay has let the agent in. Rejects with UnderpassError. */
  readonly open: (caller: Caller, over: (reason: UnderpassError | undefined) => void) => Promise<LocalDoor>;
}

/**
 * connect and proxy: an agent that calls, and what listens on this machine for it. Nothing listens before the relay has
 * let the agent in, so that a token that does not grant it opens no port.
 */
export class Calling implements Running {
  readonly ended: Promise<UnderpassError | undefined>;
  readonly #options: CallingOptions;
  readonly #agent: Agent;
  readonly #end: (reason: UnderpassError | undefined) => void;
  #door: LocalDoor | undefined;
  /** Why it ended by itself. */
  #reason: UnderpassError | undefined;
  #state: "new" | "opening" | "open" | "stopping" = "new";

  constructor(options: CallingOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<UnderpassError | undefined>();
    this.ended = promise;
    this.#end = resolve;
    const { session, onEvent } = options;
    this.#agent = makeAgent(options, { ...session, join: true, onEvent, onReady: (how) => this.#ready(how) });
  }

  get openStreams(): number {
    return this.#door?.openStreams ?? 0;
  }

  start(): void {
    void this.#agent.ended.then(async (reason) => {
      this.#state = "stopping";
      await this.#door?.close(0);
      this.#end(this.#reason ?? reason);
    });
    this.#agent.start();
  }

  abandon(): void {
    this.#agent.abandon();
  }

  async stop(graceMs: number): Promise<void> {
    this.#state = "stopping";
    await Promise.all([this.#door?.close(graceMs), this.#agent.stop(graceMs)]);
    this.#end(undefined);
  }

  #ready(how: { readonly resumed: boolean }): void {
    if (this.#state === "new") void this.#open();
    else if (this.#door !== undefined && this.#state === "open") this.#tell(this.#door, how);
  }

  async #open(): Promise<void> {
    this.#state = "opening";
    const over = (reason: UnderpassError | undefined): void => void this.#over(reason);
    try {
      this.#door = await this.#options.open(this.#agent.caller, over);
    } catch (error) {
      const known =
        error instanceof UnderpassError ? error : new UnderpassError("internal-error", String(error));
      this.#options.onEvent({ event: "error", code: known.code, message: known.message, fatal: true });
      await this.#over(known);
      return;
    }
    // It was stopped meanwhile.
    if (this.#state !== "opening") return await this.#door.close(0);
    this.#state = "open";
    this.#tell(this.#door, { resumed: false });
  }

  /** The door has no more to do (`connect --stdio`), or could not be opened. */
  async #over(reason: UnderpassError | undefined): Promise<void> {
    this.#reason = reason;
    // What it said last is the relay's only once that has acknowledged it.
    await this.#agent.stop(reason === undefined ? lastWordsMs : 0);
  }

  #tell({ urls }: LocalDoor, { resumed }: { readonly resumed: boolean }): void {
    const { told, onEvent } = this.#options;
    onEvent({ event: "ready", ...told, url: urls[0] ?? "", urls, resumed });
  }
}
