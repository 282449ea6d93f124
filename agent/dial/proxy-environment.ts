import { type Address, parseAddress } from "../../shared/egress/address.ts";
import { Network, single } from "../../shared/egress/network.ts";
import { UnderpassError } from "../../shared/errors.ts";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** An HTTP proxy that the environment names. */
export interface HttpProxy {
  readonly host: string;
  readonly port: number;
  /** What Proxy-Authorization says: a secret. */
  readonly authorization?: string;
  /** The variable that names it, for people. */
  readonly variable: string;
}

/** Whom a dial is for. */
export interface ProxiedTarget {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
}

/** As in browsers and Go; curl takes 1080. */
const defaultPort = 80;

/**
 * The proxy that the environment names for a target; undefined: none. HTTPS_PROXY is for TLS, HTTP_PROXY for the rest, ALL_PROXY
 * for both; a name in lower case comes first, as in curl, and an empty one says nothing. What NO_PROXY lists goes straight, and
 * so does this machine itself, whatever the variables say: nobody's proxy leads there. Throws UnderpassError `usage` when
 * the variable that counts does not name an http:// proxy; the message never holds its value.
 */
export function chooseProxy(target: ProxiedTarget, environment: Environment): HttpProxy | undefined {
  const names = [target.secure ? "https_proxy" : "http_proxy", "all_proxy"];
  const variable = names.flatMap((name) => [name, name.toUpperCase()]).find((name) => environment[name]);
  if (variable === undefined || isLoopback(target.host)) return undefined;
  const exceptions = environment["no_proxy"] || environment["NO_PROXY"] || "";
  if (exceptions.split(/[\s,]+/).some((entry) => covers(entry, target))) return undefined;
  return parseProxy(variable, environment[variable] ?? "");
}

function parseProxy(variable: string, text: string): HttpProxy {
  const [, scheme = "http"] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text.trim()) ?? [];
  if (scheme.toLowerCase() !== "http") {
    throw new UnderpassError(
      "usage",
      `${variable} names a proxy that is spoken to in ${scheme}. Only http:// proxies can be used.`,
    );
  }
  const url = URL.parse(text.includes("://") ? text.trim() : `http://${text.trim()}`);
  const login = url === null ? undefined : loginOf(url);
  if (url === null || url.hostname === "" || login === undefined) {
    throw new UnderpassError(
      "usage",
      `${variable} is not the URL of a proxy. It should look like http://proxy.example:3128 or http://USER:PASSWORD@proxy.example:3128.`,
    );
  }
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? defaultPort : Number(url.port),
    ...(login !== "" && { authorization: `Basic ${encodeBase64(login)}` }),
    variable,
  };
}

/** `user:password`, "" where there is none; undefined: it can't be said in Basic (RFC 7617 section 2). */
function loginOf({ username, password }: URL): string | undefined {
  if (username === "" && password === "") return "";
  try {
    const user = decodeURIComponent(username);
    return user.includes(":") ? undefined : `${user}:${decodeURIComponent(password)}`;
  } catch {
    // A percent sign that stands for itself.
    return undefined;
  }
}

function encodeBase64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/** 127.0.0.0/8, ::1 and localhost (RFC 6761 section 6.3). */
function isLoopback(host: string): boolean {
  if (/^(?:.*\.)?localhost\.?$/i.test(host)) return true;
  const address = parseAddress(host);
  return address !== undefined && loopback.some((network) => network.contains(address));
}

const loopback = ["127.0.0.0/8", "::1/128"].flatMap((text) => parseNetwork(text) ?? []);

/** Whether an entry of NO_PROXY is for the target: `*`, a domain with all below it, an address or a CIDR, each with or without a port. */
function covers(entry: string, { host, port }: ProxiedTarget): boolean {
  if (entry === "*") return true;
  const [, name = "", onlyPort] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [entry, entry];
  if (onlyPort !== undefined && Number(onlyPort) !== port) return false;
  const address = parseAddress(host);
  if (address !== undefined) return parseNetwork(name.replace(/^\[|\]$/g, ""))?.contains(address) === true;
  const domain = plainName(name.replace(/^\*?\./, ""));
  const wanted = plainName(host);
  return domain !== "" && (wanted === domain || wanted.endsWith(`.${domain}`));
}

const plainName = (name: string): string => name.toLowerCase().replace(/\.$/, "");

/** `10.0.0.0/8`, `fd00::/8`, or a single address. undefined: neither. */
function parseNetwork(text: string): Network | undefined {
  const [base = "", digits, ...more] = text.split("/");
  const address: Address | undefined = parseAddress(base);
  if (address === undefined || more.length > 0) return undefined;
  if (digits === undefined) return single(address);
  const bits = /^\d{1,3}$/.test(digits) ? Number(digits) : Number.POSITIVE_INFINITY;
  return bits > (address.isV4 ? 32 : 128) ? undefined : new Network(address, bits);
}
