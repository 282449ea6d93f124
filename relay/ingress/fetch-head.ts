import { HttpFault } from "../../shared/http1/fault.ts";
import { type Framing, requestFraming } from "../../shared/http1/framing.ts";
import { fieldValue, parseRequestHead, type RequestHead, writeRequestHead } from "../../shared/http1/head.ts";
import { decodeLatin1, encodeLatin1 } from "../../shared/http1/latin1.ts";

/** What a `Request` tells of the bytes that the visitor sent. */
export interface FetchHead {
  readonly head: RequestHead;
  readonly framing: Framing;
  readonly host: string;
  /** `address:0` of the visitor, as the platform tells it; "" when it does not. */
  readonly remote: string;
  readonly scheme: "http" | "https";
}

/** Cloudflare sets it on each request, whatever the visitor sent; it goes on as Forwarded and X-Forwarded-For. */
const visitorField = "cf-connecting-ip";
const ascii = /^[\0-\x7f]*$/;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The head as far as a `Request` has kept it: names in lower case, sorted, duplicates joined. The target is cut out of
 * the URL's text and never parsed, because a parser would change it.
 */
export function readFetchHead(request: Request): FetchHead | HttpFault {
  const { url, method } = request;
  const authority = url.indexOf("//") + 2;
  const end = authority + (/[/?#]|$/.exec(url.slice(authority))?.index ?? 0);
  const rest = url.slice(end);
  const fields = fieldsOf(request.headers);
  const host = fieldValue(fields, "host") ?? url.slice(authority, end);
  const address = fieldValue(fields, visitorField);
  const kept: string[] = ["Host", host];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (name !== "host" && name !== visitorField) kept.push(name, fields[i + 1] ?? "");
  }
  const head: RequestHead = {
    method,
    target: rest.startsWith("/") ? rest : `/${rest}`,
    minor: 1,
    fields: kept,
  };
  let framing = requestFraming(head);
  if (framing instanceof HttpFault) return framing;
  // HTTP/2 and 3 announce no framing.
  if (framing.kind === "none" && request.body !== null) {
    kept.push("Transfer-Encoding", "chunked");
    framing = { kind: "chunked" };
  }
  // Platforms read HTTP less strictly than we do: what our reader would refuse never becomes a head.
  const strict = parseRequestHead(encodeLatin1(writeRequestHead(head)));
  if (strict instanceof HttpFault) return strict;
  const remote = address === undefined ? "" : address.includes(":") ? `[${address}]:0` : `${address}:0`;
  return { head, framing, host, remote, scheme: url.startsWith("https:") ? "https" : "http" };
}

/** Header fields as heads hold them: one character a byte. workerd reads and writes values as UTF-8. */
function fieldsOf(headers: Headers): string[] {
  const fields: string[] = [];
  headers.forEach((value, name) => {
    fields.push(name, ascii.test(value) ? value : decodeLatin1(encoder.encode(value)));
  });
  return fields;
}

/** The other way. Bytes that are no UTF-8 are lost: the platform can't write them. Throws TypeError for what it refuses. */
export function headersOf(fields: readonly string[]): Headers {
  const headers = new Headers();
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const value = fields[i + 1] ?? "";
    headers.append(fields[i] ?? "", ascii.test(value) ? value : decoder.decode(encodeLatin1(value)));
  }
  return headers;
}
