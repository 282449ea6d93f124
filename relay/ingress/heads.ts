import { type Code, codes } from "../../shared/errors.ts";
import { decodeHead, encodeHead, encodeHeadBytes } from "../../shared/head.ts";
import { HttpFault } from "../../shared/http1/fault.ts";
import { type Framing, responseFraming } from "../../shared/http1/framing.ts";
import { writeRequestHead } from "../../shared/http1/head.ts";
import { linesOfThisHop, withoutHopByHop } from "../../shared/http1/hop.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import {
  parseResponseHead,
  parseTrailers,
  type ReadRequestHead,
  type ReadResponseHead,
} from "../../shared/http1/read-head.ts";
import { limits } from "../../shared/mux/limits.ts";
import { type Arrival, type ForwardedLines, forwardRequest, isForgedField } from "../forwarded.ts";

/** A visitor's request as it goes on to the agent. */
export interface Onward extends Arrival {
  readonly method: string;
  /** As the origin shall see it. */
  readonly target: string;
  readonly fields: string[];
  readonly upgrade: boolean;
}

/** The head fields of OPEN: hop-clean, with our own forwarded fields. undefined: more than a frame may carry. */
export function openingFields(request: Onward): Uint8Array | undefined {
  const { method, target, remote } = request;
  const clean = withoutHopByHop(request.fields, { keepUpgrade: request.upgrade });
  const fields = forwardRequest({ fields: clean }, request);
  const http = encodeLatin1(writeRequestHead({ method, target, minor: 1, fields }));
  return http.length > limits.maxHttpHeadBytes ? undefined : encodeHead({ http, visitor: remote });
}

/** The same for a request whose bytes may go on but for some lines. undefined: it takes `openingFields`. */
export function openingBytes(
  head: ReadRequestHead,
  host: string,
  ours: ForwardedLines,
): Uint8Array | undefined {
  const dropped = linesOfThisHop(head, isForgedField);
  return dropped && encodeHeadBytes(head, dropped, ours.forHost(host), ours.visitor);
}

/** What a HEAD frame of the answer holds. */
export type AnswerHead =
  | { readonly kind: "head"; readonly head: ReadResponseHead; readonly framing: Framing }
  | { readonly kind: "trailers"; readonly fields: string[] };

/** Reads a HEAD frame of the answer to `method`. undefined: it breaks PROTOCOL.md section 7. */
export function readAnswerHead(fields: Uint8Array, method: string): AnswerHead | undefined {
  const found = decodeHead(fields);
  if (found === undefined) return undefined;
  const { trailers, httpFrom, httpTo } = found;
  if (trailers !== undefined) {
    const read = parseTrailers(trailers, "origin-invalid");
    return read instanceof HttpFault ? undefined : { kind: "trailers", fields: read };
  }
  if (httpFrom === 0) return undefined;
  const head = parseResponseHead(fields, httpFrom, httpTo);
  // An empty line within would end the head before what is added to it.
  if (head instanceof HttpFault || head.to !== httpTo) return undefined;
  const framing = responseFraming(head, method);
  return framing instanceof HttpFault ? undefined : { kind: "head", head, framing };
}

/** Whether an answer's head may go on to a visitor as it is, but for what is added. */
export function isForVisitors(head: ReadResponseHead): boolean {
  return linesOfThisHop(head, isOurs)?.length === 0;
}

/** The answer's fields less `Underpass-*`: a visitor must be able to tell the relay's own answers by them. */
export function withoutOurs(fields: string[]): string[] {
  let kept: string[] | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (isOurs(name)) kept ??= fields.slice(0, i);
    else kept?.push(name, fields[i + 1] ?? "");
  }
  return kept ?? fields;
}

function isOurs(name: string): boolean {
  return (name.charCodeAt(0) | 0x20) === 0x75 && name.toLowerCase().startsWith("underpass-");
}

/** What a visitor is told when his stream ended with `code`: the fate of the session behind it is not his to know. */
export function visitorCode(code: Code): Code {
  return codes[code].status === undefined || codes[code].fatal ? "link-lost" : code;
}

/** A visitor's trailers less what must not come behind the body: routing, framing, and what only we may say (RFC 9110 section 6.5.1). */
export function allowedTrailers(fields: string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (!isForgedField(name) && !neverTrailing.has(name.toLowerCase())) kept.push(name, fields[i + 1] ?? "");
  }
  return kept;
}

const neverTrailing = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "upgrade",
  "te",
  "trailer",
  "authorization",
  "cookie",
  "set-cookie",
  "expect",
  "proxy-authorization",
  "content-type",
  "content-encoding",
  "content-range",
]);
