import { writeResponseHead } from "../../shared/http1/head.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { reasonPhrase } from "../../shared/http1/reasons.ts";

/** The bytes of an answer with `fields` and `body`. */
export function wholeAnswer(status: number, fields: readonly string[], body: Uint8Array): Uint8Array {
  const head = encodeLatin1(
    `${writeResponseHead({ status, reason: reasonPhrase(status), minor: 1, fields: [...fields] })}\r\n`,
  );
  const whole = new Uint8Array(head.length + body.length);
  whole.set(head);
  whole.set(body, head.length);
  return whole;
}
