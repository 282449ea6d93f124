import { UnderpassError } from "../errors.ts";

export type HttpFaultCode =
  | "request-invalid"
  | "head-too-large"
  | "version-refused"
  | "coding-refused"
  | "origin-invalid"
  | "origin-closed";

/**
 * What is wrong with a peer's HTTP message. Returned or handed to `fault`, never thrown. For a request the code is the
 * answer's (400, 431, 505, 501); all faults of a response are `origin-invalid`, or `origin-closed` when it was cut off.
 */
export class HttpFault extends UnderpassError {
  constructor(
    override readonly code: HttpFaultCode,
    message: string,
  ) {
    super(code, message);
  }
}
