import type { Alert } from "./alert.ts";

/** What came is no ClientHello, or not one that can be served. Returned, never thrown. */
export class ClientHelloFault {
  readonly kind = "fault";

  constructor(
    /** What to answer; undefined where the far end does not speak TLS, and would not understand it. */
    readonly alert: Alert | undefined,
    readonly message: string,
  ) {}
}
