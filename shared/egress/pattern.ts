import { UnderpassError } from "../errors.ts";
import { globMatches } from "../glob.ts";
import { parseHost } from "./host.ts";
import { Network, single } from "./network.ts";
import { type PortRange, parsePorts } from "./ports.ts";

/** What one grant of egress allows, of a token's `egress` or of `--allow-egress`. */
export class EgressPattern {
  /** It names one host and no other: who wrote it meant that host, wherever it is. */
  readonly isExactName: boolean;

  constructor(
    readonly text: string,
    private readonly ports: readonly PortRange[],
    /** By name: a glob, or (no wildcard) the one name. */
    readonly name: string | undefined,
    /** By address. */
    readonly network: Network | undefined,
  ) {
    this.isExactName = name !== undefined && !hasWildcard(name);
  }

  hasPort(port: number): boolean {
    return this.ports.some(([first, last]) => first <= port && port <= last);
  }

  /** `*`: any name, and any public address that is asked for by itself. */
  get isAnyHost(): boolean {
    return this.name === "*";
  }

  matchesName(name: string): boolean {
    return this.name !== undefined && globMatches(this.name, name);
  }
}

/**
 * `HOST-GLOB:PORTS`, `ADDRESS:PORTS` or `CIDR:PORTS`; PORTS is `443`, `80,443`, `8000-8100` or `*`.
 *
 * - `*` stands for any run of characters of a name, dots too, `?` for one: `*.example.com` is not `example.com`.
 * - IPv6 stands in brackets, its length after them: `[2001:db8::]/32:443`. Bits beyond the length are refused, not masked: who wrote them
 *   meant something else.
 * - Addresses are taken in their canonical form only. `010.0.0.1` is 8.0.0.1 to some, and `10.0.0.*` would match
 *   the name `10.0.0.evil.example`.
 *
 * Throws UnderpassError `usage` that says what is wrong.
 */
export function parsePattern(text: string): EgressPattern {
  if (text.length > maxPatternChars) throw fault(text.slice(0, 40), "is too long");
  const colon = text.lastIndexOf(":");
  const place = text.slice(0, Math.max(0, colon));
  const ports = parsePorts(text.slice(colon + 1));
  if (place === "" || ports === undefined)
    throw fault(text, "is not HOST:PORTS, with PORTS like 443, 80,443, 8000-8100 or *");
  if (!place.startsWith("[") && place.includes(":"))
    throw fault(text, "has an IPv6 address without brackets: write [2001:db8::]/32:443");
  return hasWildcard(place) ? globPattern(text, place, ports) : plainPattern(text, place, ports);
}

/** Whether `parsePattern` takes it. */
export function isPattern(text: string): boolean {
  try {
    parsePattern(text);
    return true;
  } catch (error) {
    if (error instanceof UnderpassError) return false;
    throw error;
  }
}

function globPattern(text: string, place: string, ports: readonly PortRange[]): EgressPattern {
  const glob = place.toLowerCase().replace(/\.$/, "");
  if (!/^[0-9a-z._*?-]{1,253}$/.test(glob))
    throw fault(text, "has a character that is not of a host name (write IDNs in their xn-- form)");
  if (/\d/.test(glob) && /^[0-9.x*?]+$/.test(glob))
    throw fault(text, "has a wildcard inside of an address: write a range like 10.0.0.0/24");
  return new EgressPattern(text, ports, glob, undefined);
}

function plainPattern(text: string, place: string, ports: readonly PortRange[]): EgressPattern {
  const [, hostPart = "", digits] = /^(.*?)(?:\/(0|[1-9]\d{0,2}))?$/s.exec(place) ?? [];
  const host = parseHost(hostPart);
  if (host === undefined) throw fault(text, "names no host and no address");
  if (host.address === undefined) {
    if (digits !== undefined) throw fault(text, "has a length (/n) after a name: it belongs to an address");
    return new EgressPattern(text, ports, host.name, undefined);
  }
  const { address } = host;
  if (address.isV4 && address.text !== hostPart)
    throw fault(text, `is an unusual way to write the address ${address.text}: write that`);
  const alone = single(address);
  const network = digits === undefined ? alone : new Network(address, Number(digits));
  if (network.bits > alone.bits) throw fault(text, `has a length above /${alone.bits}`);
  if (!network.isAligned) throw fault(text, "has bits set beyond its length");
  return new EgressPattern(text, ports, undefined, network);
}

function fault(text: string, what: string): UnderpassError {
  return new UnderpassError("usage", `The egress pattern '${text}' ${what}.`);
}

function hasWildcard(text: string): boolean {
  return /[*?]/.test(text);
}

/** A name of 253 characters and some ports. */
const maxPatternChars = 320;
