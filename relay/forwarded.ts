import { type RequestHead, writeFields } from "../shared/http1/head.ts";
import { encodeLatin1 } from "../shared/http1/latin1.ts";

/** Where a request came from and how; known by the ingress, never taken from the visitor. */
export interface Arrival {
  /** `address:port` of the visitor, IPv6 in brackets; "" when not known. */
  readonly remote: string;
  readonly scheme: "http" | "https";
  /** `/~NAME` when the tunnel was routed by path. */
  readonly prefix?: string | undefined;
}

const F = 0x66;
const H = 0x68;
const U = 0x75;
const X = 0x78;
const lower = 0x20;

/**
 * The request's fields as the origin shall see them: what a visitor could forge is gone (Forwarded, X-Forwarded-*,
 * X-Real-IP, Underpass-*, and with `_` for `-`, which WSGI and PHP take for the same), ours stands at the end. The rest
 * keeps case, order and duplicates. Names are lower-cased only when their first letter is one of three: this runs
 * for each request.
 */
export function forwardRequest(head: Pick<RequestHead, "fields">, arrival: Arrival): string[] {
  const { fields } = head;
  const kept: string[] = [];
  let host: string | undefined;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    if (isForgedField(name)) continue;
    if ((name.charCodeAt(0) | lower) === H && name.length === 4 && name.toLowerCase() === "host")
      host = value;
    kept.push(name, value);
  }
  const { address, node } = visitorOf(arrival.remote);
  let forwarded = `for=${node}`;
  if (address !== "") kept.push("X-Forwarded-For", address);
  if (host !== undefined && host !== "") {
    kept.push("X-Forwarded-Host", host);
    forwarded += `;host=${parameter(host)}`;
  }
  kept.push("X-Forwarded-Proto", arrival.scheme);
  if (arrival.prefix !== undefined) kept.push("X-Forwarded-Prefix", arrival.prefix);
  kept.push("Forwarded", `${forwarded};proto=${arrival.scheme}`);
  return kept;
}

/** The lines that `forwardRequest` adds, as bytes: made once for a visitor and the host he calls. */
export class ForwardedLines {
  /** What OPEN calls `visitor`. */
  readonly visitor: Uint8Array;
  private host: string | undefined;
  private lines: Uint8Array = new Uint8Array(0);

  constructor(private readonly arrival: Arrival) {
    this.visitor = new TextEncoder().encode(arrival.remote);
  }

  forHost(host: string): Uint8Array {
    if (host !== this.host) {
      this.host = host;
      this.lines = encodeLatin1(
        writeFields(forwardRequest({ fields: ["Host", host] }, this.arrival).slice(2)),
      );
    }
    return this.lines;
  }
}

/** Whether `forwardRequest` takes a visitor's field of that name away. */
export function isForgedField(name: string): boolean {
  const first = name.charCodeAt(0) | lower;
  return (first === X || first === F || first === U) && name.length >= 9 && isForged(name);
}

function isForged(name: string): boolean {
  const plain = name.toLowerCase().replaceAll("_", "-");
  return (
    plain === "forwarded" ||
    plain === "x-real-ip" ||
    plain.startsWith("x-forwarded") ||
    plain.startsWith("underpass-")
  );
}

/** The visitor as X-Forwarded-For writes it (no port, no brackets), and as RFC 7239 section 6 does. */
function visitorOf(remote: string): { address: string; node: string } {
  const colon = remote.lastIndexOf(":");
  let address = colon < 0 ? remote : remote.slice(0, colon);
  if (address.startsWith("[")) address = address.slice(1, -1);
  // A socket that listens on IPv6 shows IPv4 visitors so; origins expect the plain form.
  if (address.startsWith("::ffff:") && address.includes(".")) address = address.slice(7);
  if (address === "") return { address, node: "unknown" };
  return { address, node: address.includes(":") ? `"[${address}]"` : address };
}

/** A token as it is, anything else as a quoted string (RFC 7239 section 4); a port's colon already needs one. */
function parameter(value: string): string {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, "\\$&")}"`;
}

export { rewriteResponse } from "./prefix.ts";
