import { type Code, UnderpassError } from "../shared/errors.ts";

/** Why no link was opened, or no name given. */
export class RelayRefusal extends UnderpassError {
  constructor(
    code: Code,
    message?: string,
    /** The relay's hint (Retry-After): trying again before this is no use. 0: none. */
    readonly retryAfterMs: number = 0,
  ) {
    super(code, message);
  }
}
