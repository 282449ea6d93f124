import { UnderpassError } from "../../shared/errors.ts";
import type { Kind } from "../../shared/kind.ts";
import { quotedAddress } from "../screen/screen-text.ts";

/** Where the origin listens. */
export interface OriginAddress {
  /** Speak TLS to it. */
  readonly tls: boolean;
  /** Name or address without brackets; absent: this machine, 127.0.0.1 or ::1, whichever answers. */
  readonly host?: string;
  readonly port?: number;
  /** Path of a unix socket, in place of host and port. */
  readonly unix?: string;
  /** For people. */
  readonly url: string;
}

/** What TARGET of `http TARGET`, `tcp TARGET` and so on means. Throws UnderpassError `usage`. */
export function parseTarget(kind: Kind, text: string): OriginAddress {
  if (/^\d+$/.test(text)) return portOrigin(kind, parsePort(text, "The port"));
  if (text.startsWith("unix:") && kind !== "udp") {
    const path = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    if (!path.startsWith("/"))
      fail(`${quote(text)}: give the whole path of the socket, as in unix:/run/app.sock`);
    return { tls: false, unix: path, url: `unix:${path}` };
  }
  return kind === "http" ? parseUrl(text) : parseHostPort(kind, text);
}

/** A bare port: whichever of 127.0.0.1 and ::1 answers. Throws UnderpassError `usage`. */
export function portOrigin(kind: Kind, port: number): OriginAddress {
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    fail(`The port ${port}: give a whole number from 1 to 65535.`);
  return { tls: false, port, url: `${scheme(kind)}://localhost:${port}` };
}

/** A port from 1 on; `what` begins the complaint. Throws UnderpassError `usage`. */
export function parsePort(text: string, what: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) fail(`${what} ${quote(text)}: give a whole number from 1 to 65535.`);
  return port;
}

function parseUrl(text: string): OriginAddress {
  const url = /^https?:\/\//i.test(text) ? URL.parse(text) : null;
  if (url === null)
    fail(`${quotedAddress(text)}: the target is PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH.`);
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "" || url.username !== "") {
    fail(`${quotedAddress(text)}: give only scheme, host and port; visitors bring the path.`);
  }
  const tls = url.protocol === "https:";
  const port = url.port === "" ? (tls ? 443 : 80) : Number(url.port);
  return { tls, host: url.hostname.replace(/^\[|\]$/g, ""), port, url: url.origin };
}

function parseHostPort(kind: Kind, text: string): OriginAddress {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]+)):(\d+)$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || digits === undefined) {
    fail(`${quotedAddress(text)}: the target is PORT, HOST:PORT${kind === "udp" ? "" : " or unix:/PATH"}.`);
  }
  const port = parsePort(digits, `${quote(text)}: the port`);
  const shown = bracketed === undefined ? host : `[${host}]`;
  return { tls: false, host, port, url: `${scheme(kind)}://${shown}:${port}` };
}

/** What the origin is spoken to in; what stands on top of it (tls, ssh) is the visitor's. */
function scheme(kind: Kind): string {
  return kind === "http" || kind === "udp" ? kind : "tcp";
}

function quote(text: string): string {
  return JSON.stringify(text);
}

function fail(message: string): never {
  throw new UnderpassError("usage", message);
}
