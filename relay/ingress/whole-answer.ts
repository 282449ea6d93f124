import type { Framing } from "../../shared/http1/framing.ts";
import { fieldValue, writeResponseHead } from "../../shared/http1/head.ts";
import { hasMark } from "../../shared/http1/hop.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { Mark } from "../../shared/http1/marks.ts";
import type { ReadRequestHead } from "../../shared/http1/read-head.ts";
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

/** Whether the socket can be used again after a request that is refused: its body would have to be read first. */
export function staysOpen(head: ReadRequestHead, framing: Framing): boolean {
  const bodiless = framing.kind === "none" || (framing.kind === "length" && framing.bytes === 0);
  const connection = fieldValue(head.fields, "connection")?.toLowerCase();
  return (
    head.minor === 1 && bodiless && connection?.includes("close") !== true && !hasMark(head, Mark.upgrade)
  );
}
