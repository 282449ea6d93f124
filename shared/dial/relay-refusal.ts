import { type Code, UnderpassError } from "../errors.ts";

/**
 * Who refused: the relay itself; something between, which answered in its place, broke the dial off or swallowed it;
 * or nobody, as no way to the relay's address was found.
 */
export type RefusedBy = "relay" | "between" | "nobody";

/** Why no link was opened, or no name given. */
export class RelayRefusal extends UnderpassError {
  constructor(
    code: Code,
    message?: string,
    /** The relay's hint (Retry-After): trying again before this is no use. 0: none. */
    readonly retryAfterMs: number = 0,
    readonly by: RefusedBy = "relay",
  ) {
    super(code, message);
  }
}
