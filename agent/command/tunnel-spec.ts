import { parsePattern } from "../../shared/egress/pattern.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { Kind } from "../../shared/kind.ts";
import { isName } from "../../shared/name.ts";
import { type OriginAddress, parseTarget } from "./origin-address.ts";

/** What is particular to one tunnel, checked: all that `http TARGET`, `tcp TARGET`, ... or an entry of underpass.yaml says. */
export interface TunnelSpec {
  readonly kind: Kind;
  readonly origin: OriginAddress;
  /** Absent: the relay gives a random one. */
  readonly name?: string;
  /** The public port that is asked for (tcp, udp); absent: any. */
  readonly remotePort?: number;
  /** The origin is told who called (tcp, tls). */
  readonly proxyProtocol?: ProxyProtocol;
  /** `visitor`, `origin`, or the value itself (http). */
  readonly hostHeader: string;
  /** Any certificate of an https origin is accepted. */
  readonly originInsecure: boolean;
  readonly originDialTimeoutMs: number;
  /** Until the response's head (http). */
  readonly originHeadTimeoutMs: number;
  /** Share the name instead of taking it over. */
  readonly join: boolean;
  /** HOST-GLOB:PORTS or CIDR:PORTS that `proxy --via` may reach from here; empty: nothing. */
  readonly allowEgress: readonly string[];
}

export type ProxyProtocol = "v1" | "v2";

/** A tunnel as asked for, unchecked but for times and numbers. What is absent has its default. */
export interface TunnelWish {
  readonly kind: Kind;
  /** As TARGET on the command line. */
  readonly target: string;
  readonly name?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly proxyProtocol?: string | undefined;
  readonly hostHeader?: string | undefined;
  readonly originInsecure?: boolean | undefined;
  readonly originDialTimeoutMs?: number | undefined;
  readonly originHeadTimeoutMs?: number | undefined;
  readonly join?: boolean | undefined;
  readonly allowEgress?: readonly string[] | undefined;
}

/** Which kinds have a use for which wish; those that are not here are for all of them. */
export const wishKinds = {
  remotePort: ["tcp", "udp"],
  proxyProtocol: ["tcp", "tls"],
  hostHeader: ["http"],
  originInsecure: ["http"],
  originDialTimeoutMs: ["http", "tcp", "tls", "private"],
  originHeadTimeoutMs: ["http"],
} as const satisfies Partial<Record<keyof TunnelWish, readonly Kind[]>>;

export const tunnelDefaults = {
  hostHeader: "visitor",
  originDialTimeoutMs: 10_000,
  originHeadTimeoutMs: 60_000,
} as const;

/** Their names as switches, and as keys of underpass.yaml. */
const names: Readonly<Record<keyof typeof wishKinds, string>> = {
  remotePort: "remote-port",
  proxyProtocol: "proxy-protocol",
  hostHeader: "host-header",
  originInsecure: "origin-insecure",
  originDialTimeoutMs: "origin-dial-timeout",
  originHeadTimeoutMs: "origin-head-timeout",
};

/**
 * Checks a tunnel that was asked for. `mark` stands before the names of switches in complaints: `--` on the command line.
 * Throws UnderpassError `usage` or `name-invalid`.
 */
export function checkTunnel(wish: TunnelWish, mark: string): TunnelSpec {
  const { kind, name, remotePort, proxyProtocol, hostHeader = tunnelDefaults.hostHeader } = wish;
  for (const key of Object.keys(wishKinds) as (keyof typeof wishKinds)[]) {
    const kinds: readonly Kind[] = wishKinds[key];
    if (wish[key] === undefined || wish[key] === false || kinds.includes(kind)) continue;
    fail(`${mark}${names[key]} is for ${kinds.join(", ")}, not for ${kind}.`);
  }
  if (name !== undefined) checkName(name);
  if (remotePort !== undefined && !(Number.isInteger(remotePort) && remotePort >= 1 && remotePort <= 65_535))
    fail(`${mark}remote-port ${remotePort}: give a whole number from 1 to 65535.`);
  if (proxyProtocol !== undefined && !isProxyProtocol(proxyProtocol))
    fail(`${mark}proxy-protocol ${JSON.stringify(proxyProtocol)}: give v1 or v2.`);
  if (!/^[\w.:[\]-]+$/.test(hostHeader))
    fail(`${mark}host-header ${JSON.stringify(hostHeader)}: give \`visitor\`, \`origin\` or a host name.`);
  for (const text of wish.allowEgress ?? []) checkPattern(text, mark);
  return {
    kind,
    origin: parseTarget(kind, wish.target),
    ...(name !== undefined && { name }),
    ...(remotePort !== undefined && { remotePort }),
    ...(proxyProtocol !== undefined && { proxyProtocol }),
    hostHeader,
    originInsecure: wish.originInsecure ?? false,
    originDialTimeoutMs: wish.originDialTimeoutMs ?? tunnelDefaults.originDialTimeoutMs,
    originHeadTimeoutMs: wish.originHeadTimeoutMs ?? tunnelDefaults.originHeadTimeoutMs,
    join: wish.join ?? false,
    allowEgress: wish.allowEgress ?? [],
  };
}

/** Throws UnderpassError `name-invalid`. */
export function checkName(name: string): void {
  if (isName(name)) return;
  const rule = "1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends";
  throw new UnderpassError("name-invalid", `${JSON.stringify(name)} can't be a name: ${rule}.`);
}

function checkPattern(text: string, mark: string): void {
  try {
    parsePattern(text);
  } catch (error) {
    if (!(error instanceof UnderpassError)) throw error;
    throw new UnderpassError(error.code, `${mark}allow-egress: ${error.message}`, { cause: error });
  }
}

function isProxyProtocol(text: string): text is ProxyProtocol {
  return text === "v1" || text === "v2";
}

function fail(message: string): never {
  throw new UnderpassError("usage", message);
}
