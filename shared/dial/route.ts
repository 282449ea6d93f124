import type { UnderpassError } from "../errors.ts";
import type { Greeted } from "./greeting.ts";

/** What becomes of a slot's dials: whoever opens its links, and knows several relays, needs it for the next. */
export interface Route {
  /** A dial has led to a WELCOME. `greeted.hello.resume`: the session that was to be resumed. */
  greeted(greeted: Greeted): void;
  /**
   * A dial for `session` (undefined: a fresh one), or its handshake, has failed; `spare`: the session has a good link
   * still. Returns what the slot is to make of it.
   */
  refused(
    error: UnderpassError,
    session: string | undefined,
    options: { readonly spare: boolean },
  ): UnderpassError;
}
