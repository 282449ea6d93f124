import { UnderpassError } from "../shared/errors.ts";
import { type ListenAddress, parseListenAddress } from "../shared/listen-address.ts";
import { isName } from "../shared/name.ts";
import { parseDuration } from "../shared/units.ts";
import type { CommandLine } from "./command-line.ts";

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

/** The agent's switches, checked. Made by `checkOptions` (command line) and by `expose` (library). */
export interface AgentOptions {
  readonly origin: OriginAddress;
  /** `visitor`, `origin`, or the value itself. */
  readonly hostHeader: string;
  readonly originInsecure: boolean;
  readonly originDialTimeoutMs: number;
  readonly originHeadTimeoutMs: number;
  /** Absent: a relay is embedded. */
  readonly relay?: URL;
  /** Where an embedded relay listens; absent: 127.0.0.1:8787 or the next free port. */
  readonly listen?: ListenAddress;
  /** Absent where none was given: the relay then says what it wants. */
  readonly token?: { readonly value: string } | { readonly file: string };
  readonly name?: string;
  readonly insecure: boolean;
  readonly links: number;
  /** Share the name instead of taking it over. */
  readonly join: boolean;
  readonly reconnect: boolean;
  readonly maxReconnectDelayMs: number;
  readonly json: boolean;
  readonly qr: boolean;
  readonly verbose: boolean;
  /** Requests are not told. */
  readonly quiet: boolean;
  /** What the person should know before it starts. */
  readonly warnings: readonly string[];
}

/** Checks what was given. Throws UnderpassError `usage`, `name-invalid` or `insecure-relay`, with one clear line. */
export function checkOptions(line: CommandLine): AgentOptions {
  const origin = chooseOrigin(line);
  const relayText = line.text("relay");
  const listenText = line.text("listen");
  if (relayText !== undefined && line.argument("listen") !== undefined) {
    fail("--listen is for the relay inside this process: give it without --relay.");
  }
  const insecure = line.flag("insecure");
  const relay = relayText === undefined ? undefined : checkRelay(relayText, { insecure });
  const listen = relay !== undefined || listenText === undefined ? undefined : parseListenAddress(listenText);
  const name = line.text("name");
  if (name !== undefined) checkName(name);
  const warnings: string[] = [];
  if (line.argument("token") !== undefined) {
    warnings.push(
      "A token in --token is visible to every user of this machine. Rather use --token-file or UNDERPASS_TOKEN.",
    );
  }
  const token = chooseToken(line);
  return {
    origin,
    hostHeader: parseHostHeader(line.text("host-header") ?? "visitor"),
    originInsecure: line.flag("origin-insecure"),
    originDialTimeoutMs: duration(line, "origin-dial-timeout", 10_000),
    originHeadTimeoutMs: duration(line, "origin-head-timeout", 60_000),
    ...(relay && { relay }),
    ...(listen && { listen }),
    ...(token && { token }),
    ...(name !== undefined && { name }),
    insecure,
    links: parseWhole(line.text("links") ?? "2", "--links", 1, 8),
    join: line.flag("join"),
    reconnect: !line.flag("no-reconnect"),
    maxReconnectDelayMs: duration(line, "max-reconnect-delay", 30_000),
    json: line.flag("json"),
    qr: line.flag("qr"),
    verbose: line.flag("verbose"),
    quiet: line.flag("quiet"),
    warnings,
  };
}

function chooseOrigin(line: CommandLine): OriginAddress {
  const argument = line.argument("port");
  if (line.target !== undefined && argument !== undefined) {
    fail("Give either --port or http TARGET, not both.");
  }
  if (line.target !== undefined) return parseOrigin(line.target);
  const port = argument ?? line.environment("port");
  if (port === undefined) fail("What should be exposed? For example: --port 8080 (see --help)");
  return portOrigin(parseWhole(port, "--port", 1, 65_535));
}

/** What TARGET of `http TARGET` means. Throws UnderpassError `usage`. */
export function parseOrigin(text: string): OriginAddress {
  if (/^\d+$/.test(text)) return portOrigin(parseWhole(text, "The port", 1, 65_535));
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    if (!path.startsWith("/"))
      fail(`${quote(text)}: give the whole path of the socket, as in unix:/run/app.sock`);
    return { tls: false, unix: path, url: `unix:${path}` };
  }
  const url = /^https?:\/\//i.test(text) ? URL.parse(text) : null;
  if (url === null)
    fail(`${quote(text)}: the target is PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH.`);
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "" || url.username !== "") {
    fail(`${quote(text)}: give only scheme, host and port; visitors bring the path.`);
  }
  const tls = url.protocol === "https:";
  const port = url.port === "" ? (tls ? 443 : 80) : Number(url.port);
  return { tls, host: url.hostname.replace(/^\[|\]$/g, ""), port, url: url.origin };
}

/** A bare port: whichever of 127.0.0.1 and ::1 answers. */
export function portOrigin(port: number): OriginAddress {
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    fail(`The port ${port}: give a whole number from 1 to 65535.`);
  return { tls: false, port, url: `http://localhost:${port}` };
}

/** The relay's URL. Throws UnderpassError `usage`, or `insecure-relay` where a token would travel readable. */
export function checkRelay(text: string, { insecure }: { readonly insecure: boolean }): URL {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    fail(`--relay ${quote(text)}: give a URL such as https://relay.example`);
  }
  if (url.username !== "" || url.password !== "")
    fail("--relay: a credential has no place in a URL. Use --token-file.");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    fail(`--relay ${quote(text)}: give only scheme, host and port.`);
  }
  if (url.protocol === "http:" && !insecure && !isLoopback(url.hostname)) {
    throw new UnderpassError(
      "insecure-relay",
      `${url.origin}: a token is sent over plain http to this machine only. Use https://, or give --insecure.`,
    );
  }
  return url;
}

/** Throws UnderpassError `usage`. */
export function parseHostHeader(text: string): string {
  if (!/^[\w.:[\]-]+$/.test(text))
    fail(`--host-header ${quote(text)}: give \`visitor\`, \`origin\` or a host name.`);
  return text;
}

/** The command line wins over the environment, and there the file over the value, since it can be renewed. */
function chooseToken(line: CommandLine): { value: string } | { file: string } | undefined {
  const [value, file] = [line.argument("token"), line.argument("token-file")];
  if (value !== undefined && file !== undefined) fail("Give either --token-file or --token, not both.");
  if (value !== undefined) return { value: value.trim() };
  const chosen = file ?? line.environment("token-file");
  if (chosen !== undefined) return { file: chosen };
  const secret = line.environment("token");
  return secret === undefined ? undefined : { value: secret.trim() };
}

function duration(line: CommandLine, name: string, otherwiseMs: number): number {
  const text = line.text(name);
  if (text === undefined) return otherwiseMs;
  let ms: number;
  try {
    ms = parseDuration(text);
  } catch (error) {
    if (error instanceof UnderpassError)
      throw new UnderpassError(error.code, `--${name}: ${error.message}`, { cause: error });
    throw error;
  }
  if (ms <= 0) fail(`--${name} ${quote(text)}: give a time above 0.`);
  return ms;
}

function parseWhole(text: string, what: string, low: number, high: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= low && value <= high))
    fail(`${what} ${quote(text)}: give a whole number from ${low} to ${high}.`);
  return value;
}

/** Throws UnderpassError `name-invalid`. */
export function checkName(name: string): void {
  if (isName(name)) return;
  const rule = "1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends";
  throw new UnderpassError("name-invalid", `${quote(name)} can't be a name: ${rule}.`);
}

/** Whether a host of a URL is this machine itself (RFC 6761, RFC 5735). */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

function quote(text: string): string {
  return JSON.stringify(text);
}

function fail(message: string): never {
  throw new UnderpassError("usage", message);
}
