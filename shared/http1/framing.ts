import { HttpFault } from "./fault.ts";
import { isWordAt, Mark } from "./marks.ts";
import { markParts, type ReadRequestHead, type ReadResponseHead } from "./read-head.ts";

/** How a message's body is delimited (RFC 9112 section 6.3). `tunnel`: what follows is another protocol's bytes. */
export type Framing =
  | { readonly kind: "none" | "chunked" | "until-close" | "tunnel" }
  | { readonly kind: "length"; readonly bytes: number };

const none: Framing = { kind: "none" };
const chunked: Framing = { kind: "chunked" };
const untilClose: Framing = { kind: "until-close" };
const tunnel: Framing = { kind: "tunnel" };
const chunkedWord = new TextEncoder().encode("chunked");

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
export function requestFraming(head: ReadRequestHead): Framing | HttpFault {
  const found = announced(head);
  if (found.wrong !== undefined) return new HttpFault("request-invalid", found.wrong);
  if (found.coding)
    return new HttpFault("coding-refused", "The only transfer coding spoken here is chunked.");
  if (found.hosts > 1) return new HttpFault("request-invalid", "There is more than one Host.");
  if (found.hosts === 0 && head.minor === 1) return new HttpFault("request-invalid", "There is no Host.");
  if (found.chunked) return chunked;
  return found.length === undefined ? none : { kind: "length", bytes: found.length };
}

/** Framing of the response to `method`. All faults are `origin-invalid`. */
export function responseFraming(head: ReadResponseHead, method: string): Framing | HttpFault {
  const { status } = head;
  if (status < 200 || (method === "CONNECT" && status < 300)) {
    return status === 101 || status >= 200 ? tunnel : none;
  }
  const found = announced(head);
  if (found.wrong !== undefined) return new HttpFault("origin-invalid", found.wrong);
  if (found.coding)
    return new HttpFault("origin-invalid", "The response has a transfer coding other than chunked.");
  if (method === "HEAD" || status === 204 || status === 304) return none;
  if (found.chunked) return chunked;
  return found.length === undefined ? untilClose : { kind: "length", bytes: found.length };
}

function announced({ bytes, marked, minor }: ReadRequestHead | ReadResponseHead): Announced {
  let length: number | undefined;
  let isChunked = false;
  let coding = false;
  let hosts = 0;
  let wrong: string | undefined;
  for (let i = 0; i < marked.length; i += markParts) {
    const from = marked[i + 2] ?? 0;
    const to = marked[i + 3] ?? 0;
    switch (marked[i]) {
      case Mark.host:
        hosts++;
        break;
      case Mark.contentLength:
        if (length !== undefined) wrong = "There is more than one Content-Length.";
        length = contentLength(bytes, from, to);
        if (length === -1) wrong = "Content-Length is not a decimal number below 2^53.";
        break;
      case Mark.transferEncoding:
        if (isChunked || coding) wrong = "There is more than one Transfer-Encoding.";
        if (isWordAt(bytes, from, to, chunkedWord)) isChunked = true;
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
function contentLength(bytes: Uint8Array, from: number, to: number): number {
  if (to === from || to - from > 16) return -1;
  let length = 0;
  for (let i = from; i < to; i++) {
    const digit = (bytes[i] ?? 0) - 48;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return Number.isSafeInteger(length) ? length : -1;
}
