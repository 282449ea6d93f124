import type { HttpFault } from "../../shared/http1/fault.ts";
import type { Framing } from "../../shared/http1/framing.ts";
import type { RequestHead, ResponseHead } from "../../shared/http1/head.ts";
import { decodeLatin1, encodeLatin1 } from "../../shared/http1/latin1.ts";
import type { ReadRequestHead, ReadResponseHead } from "../../shared/http1/read-head.ts";
import { type HeadOf, HttpReader, type HttpReaderHandler, type Side } from "../../shared/http1/reader.ts";

/** What a head says, without where it stood. */
export function plain<Head extends ReadRequestHead | ReadResponseHead>(head: Head): PlainOf<Head> {
  const { minor, fields } = head;
  const { status, reason, method, target } = head as Partial<ReadRequestHead & ReadResponseHead>;
  const said = status === undefined ? { method, target, minor, fields } : { status, reason, minor, fields };
  return said as PlainOf<Head>;
}

type PlainOf<Head> = Head extends ReadRequestHead ? RequestHead : ResponseHead;

/** What a reader said, with neighbouring body pieces joined so that splits of the input don't show. */
export class Recorder<S extends Side> implements HttpReaderHandler<HeadOf<S>> {
  readonly events: string[] = [];
  readonly heads: PlainOf<HeadOf<S>>[] = [];
  faultCode: string | undefined;
  atEnd: () => void = () => {};

  head(head: HeadOf<S>, framing: Framing): void {
    this.heads.push(plain(head));
    this.events.push(`head ${JSON.stringify(plain(head))} ${JSON.stringify(framing)}`);
  }
  body(bytes: Uint8Array): void {
    const last = this.events.at(-1);
    if (last?.startsWith("body ") === true) this.events.pop();
    this.events.push((last?.startsWith("body ") === true ? last : "body ") + decodeLatin1(bytes));
  }
  trailers(fields: string[]): void {
    this.events.push(`trailers ${JSON.stringify(fields)}`);
  }
  end(): void {
    this.events.push("end");
    this.atEnd();
  }
  fault(fault: HttpFault): void {
    this.faultCode = fault.code;
    this.events.push(`fault ${fault.code}`);
  }
  get bodyText(): string {
    return this.events.flatMap((event) => (event.startsWith("body ") ? [event.slice(5)] : [])).join("");
  }
}

/** Cuts `bytes` at the places that `cuts` (0 to 1 each) name. */
export function split(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => Math.floor(cut * bytes.length)))].sort((a, b) => a - b);
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const place of [...places, bytes.length]) {
    if (place > from) pieces.push(bytes.slice(from, place));
    from = Math.max(from, place);
  }
  return pieces;
}

/** Reads requests, each followed at once by the next. */
export function readRequests(pieces: readonly (Uint8Array | string)[], finish = true): Recorder<"request"> {
  const recorder = new Recorder<"request">();
  const reader = new HttpReader("request", recorder);
  recorder.atEnd = () => reader.next();
  for (const piece of pieces) reader.push(typeof piece === "string" ? encodeLatin1(piece) : piece);
  if (finish) reader.finish();
  return recorder;
}

/** Reads one response to `method`. */
export function readResponse(
  pieces: readonly (Uint8Array | string)[],
  method = "GET",
  finish = true,
): Recorder<"response"> {
  const recorder = new Recorder<"response">();
  const reader = new HttpReader("response", recorder);
  reader.expect(method);
  for (const piece of pieces) reader.push(typeof piece === "string" ? encodeLatin1(piece) : piece);
  if (finish) reader.finish();
  return recorder;
}
