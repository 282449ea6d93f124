import { type Address, canonicalAddress, parseAddress } from "./address.ts";

/** A host as a target or a grant names it: either an address or a name, each in canonical form. */
export type Host =
  | { readonly address: Address; readonly name?: undefined }
  /** Lower case ASCII (IDNs as `xn--`), without a dot at the end. */
  | { readonly name: string; readonly address?: undefined };

/**
 * Reads a host as WHATWG URL does: case, IDNA, full-width digits and dots, and every form of IPv4 come out in one form, and what ends in a
 * number but is no address is none. Stricter than that: no percent-encoding, no userinfo, and only what a host name may hold. IPv6
 * stands in brackets. undefined: not a host.
 */
export function parseHost(text: string): Host | undefined {
  if (text.length > maxHostChars) return undefined;
  if (text.startsWith("[")) {
    const inner = text.endsWith("]") ? text.slice(1, -1) : "";
    const address = inner.includes(":") ? parseAddress(inner) : undefined;
    return address && { address };
  }
  // The URL parser would drop tabs and line breaks, decode %, and take / \ ? # @ : for what they are in a URL.
  if (!/^[0-9A-Za-z._\-\u0080-\uffff]+$/.test(text)) return undefined;
  const host = URL.parse(`http://${text}/`)?.hostname;
  if (host === undefined) return undefined;
  const address = canonicalAddress(host);
  if (address !== undefined) return { address };
  const name = host.endsWith(".") ? host.slice(0, -1) : host;
  return isHostName(name) ? { name } : undefined;
}

/** For messages and logs. */
export function hostText(host: Host): string {
  return host.name ?? host.address.bracketed;
}

/** RFC 1123, with `_`, which is seen in names of services. Never of a form that a resolver might take for an address. */
function isHostName(name: string): boolean {
  const labels = name.split(".");
  return (
    name.length <= maxNameChars &&
    labels.every((label) => /^[0-9a-z_-]{1,63}$/.test(label)) &&
    !/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "")
  );
}

/** RFC 1035 section 2.3.4: 255 octets on the wire. */
const maxNameChars = 253;
/** A target has at most 300 bytes (shared/mux/limits.ts). */
const maxHostChars = 300;
