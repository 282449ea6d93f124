import { HttpFault } from "./fault.ts";
import { isNamed, type RequestHead, type ResponseHead } from "./head.ts";

/** How a message's body is delimited (RFC 9112 section 6.3). `tunnel`: what follows is another protocol's bytes. */
export type Framing =
  | { readonly kind: "none" | "chunked" | "until-close" | "tunnel" }
  | { readonly kind: "length"; readonly bytes: number };

const none: Framing = { kind: "none" };
const chunked: Framing = { kind: "chunked" };
const untilClose: Framing = { kind: "until-close" };
const tunnel: Framing = { kind: "tunnel" };

/** What the framing fields say together; a text when they can be read in more than one way. */
interface Announced {
  readonly length: number | undefined;
  readonly chunked: boolean;
  readonly hosts: number;
  readonly wrong: string | undefined;
  /** A transfer coding other than chunked alone. */
  readonly coding: boolean;
}

/**
 * Framing of a request, with the checks without which two readers could see different requests in the same bytes:
 * one Host (in HTTP/1.1 exactly one), at most one of Content-Length and Transfer-Encoding, once, and well formed.
 * A repeated Content-Length is refused even when the values agree.
 */
export function requestFraming(head: RequestHead): Framing | HttpFault {
  const found = announced(head.fields, head.minor);
  if (found.wrong !== undefined) return new HttpFault("request-invalid", found.wrong);
  if (found.coding)
    return new HttpFault("coding-refused", "The only transfer coding spoken here is chunked.");
  if (found.hosts > 1) return new HttpFault("request-invalid", "There is more than one Host.");
  if (found.hosts === 0 && head.minor === 1) return new HttpFault("request-invalid", "There is no Host.");
  if (found.chunked) return chunked;
  return found.length === undefined ? none : { kind: "length", bytes: found.length };
}

/** Framing of the response to `method`. All faults are `origin-invalid`. */
export function responseFraming(head: ResponseHead, method: string): Framing | HttpFault {
  const { status } = head;
  if (status < 200 || (method === "CONNECT" && status < 300)) {
    return status === 101 || status >= 200 ? tunnel : none;
  }
  const found = announced(head.fields, head.minor);
  if (found.wrong !== undefined) return new HttpFault("origin-invalid", found.wrong);
  if (found.coding)
    return new HttpFault("origin-invalid", "The response has a transfer coding other than chunked.");
  if (method === "HEAD" || status === 204 || status === 304) return none;
  if (found.chunked) return chunked;
  return found.length === undefined ? untilClose : { kind: "length", bytes: found.length };
}

function announced(fields: readonly string[], minor: 0 | 1): Announced {
  let length: number | undefined;
  let isChunked = false;
  let coding = false;
  let hosts = 0;
  let wrong: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (name.length === 4) {
      if (isNamed(name, "host")) hosts++;
    } else if (name.length === 14) {
      if (!isNamed(name, "content-length")) continue;
      if (length !== undefined) wrong = "There is more than one Content-Length.";
      length = contentLength(fields[i + 1] ?? "");
      if (length === -1) wrong = "Content-Length is not a decimal number below 2^53.";
    } else if (name.length === 17) {
      if (!isNamed(name, "transfer-encoding")) continue;
      if (isChunked || coding) wrong = "There is more than one Transfer-Encoding.";
      if (isNamed(fields[i + 1], "chunked")) isChunked = true;
      else coding = true;
    }
  }
  if (isChunked || coding) {
    if (length !== undefined) wrong = "There are both Content-Length and Transfer-Encoding.";
    // RFC 9112 section 6.1: such framing is faulty, whoever sends it.
    else if (minor === 0) wrong = "HTTP/1.0 has no Transfer-Encoding.";
  }
  return { length, chunked: isChunked, hosts, wrong, coding };
}

/** -1 when it isn't one run of digits below 2^53. */
function contentLength(value: string): number {
  if (value.length === 0 || value.length > 16) return -1;
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return Number.isSafeInteger(length) ? length : -1;
}
