import { HttpFault } from "../../shared/http1/fault.ts";
import { type Framing, requestFraming } from "../../shared/http1/framing.ts";
import { fieldValue, type RequestHead, writeRequestHead } from "../../shared/http1/head.ts";
import { decodeLatin1, encodeLatin1 } from "../../shared/http1/latin1.ts";
import { parseRequestHead } from "../../shared/http1/read-head.ts";

/** What a `Request` tells of the bytes that the visitor sent. */
export interface FetchHead {
  readonly head: RequestHead;
  readonly framing: Framing;
  readonly host: string;
  /** `address:port` of the visitor, as the platform tells it; "" when it does not. */
  readonly remote: string;
  readonly scheme: "http" | "https";
}

/** How a platform shows the bytes of a field's value: workerd reads and writes them as UTF-8, Deno one character a byte. */
export type FieldText = "utf-8" | "latin1";

/** What a platform tells beside the `Request`. */
export interface FetchSource {
  /** `address:port` of the visitor; "" when not known. */
  readonly remote: string;
  readonly fieldText: FieldText;
}

/** Cloudflare sets it on each request, whatever the visitor sent; it goes on as Forwarded and X-Forwarded-For. */
const visitorField = "cf-connecting-ip";
const ascii = /^[\0-\x7f]*$/;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The head as far as a `Request` has kept it: names in lower case, sorted, duplicates joined. The target is cut out of
 * the URL's text and never parsed, because a parser would change it. `source` absent: Cloudflare's, who says it in a field.
 */
export function readFetchHead(request: Request, source?: FetchSource): FetchHead | HttpFault {
  const { url, method } = request;
  const authority = url.indexOf("//") + 2;
  const end = authority + (/[/?#]|$/.exec(url.slice(authority))?.index ?? 0);
  const rest = url.slice(end);
  const fields = fieldsOf(request.headers, source?.fieldText ?? "utf-8");
  const named = url.slice(authority, end);
  const host = fieldValue(fields, "host") ?? named;
  // Deno passes absolute forms on: there the URL names what the request line did, and else what Host does.
  if (source !== undefined && host.toLowerCase() !== named.toLowerCase())
    return new HttpFault("request-invalid", "The request line names another host than the Host field.");
  const address = source === undefined ? fieldValue(fields, visitorField) : undefined;
  const kept: string[] = ["Host", host];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (name !== "host" && (name !== visitorField || source !== undefined))
      kept.push(name, fields[i + 1] ?? "");
  }
  const head: RequestHead = {
    method,
    target: rest.startsWith("/") ? rest : `/${rest}`,
    minor: 1,
    fields: kept,
  };
  // Platforms read HTTP less strictly than we do: what our reader would refuse never becomes a head.
  const strict = parseRequestHead(encodeLatin1(writeRequestHead(head)));
  if (strict instanceof HttpFault) return strict;
  let framing = requestFraming(strict);
  if (framing instanceof HttpFault) return framing;
  // HTTP/2 and 3 announce no framing.
  if (framing.kind === "none" && request.body !== null) {
    kept.push("Transfer-Encoding", "chunked");
    framing = { kind: "chunked" };
  }
  const told = address === undefined ? "" : address.includes(":") ? `[${address}]:0` : `${address}:0`;
  const remote = source?.remote ?? told;
  return { head, framing, host, remote, scheme: url.startsWith("https:") ? "https" : "http" };
}

/** Header fields as heads hold them: one character a byte. */
function fieldsOf(headers: Headers, fieldText: FieldText): string[] {
  const fields: string[] = [];
  headers.forEach((value, name) => {
    const asBytes = fieldText === "latin1" || ascii.test(value);
    fields.push(name, asBytes ? value : decodeLatin1(encoder.encode(value)));
  });
  return fields;
}

/** The other way. Where fields are UTF-8, other bytes are lost: they can't be written. Throws TypeError for what the platform refuses. */
export function headersOf(fields: readonly string[], fieldText: FieldText): Headers {
  const headers = new Headers();
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const value = fields[i + 1] ?? "";
    const asBytes = fieldText === "latin1" || ascii.test(value);
    headers.append(fields[i] ?? "", asBytes ? value : decoder.decode(encodeLatin1(value)));
  }
  return headers;
}
