/** A host name: what DNS and /etc/hosts know, the odd forms of IPv4 addresses included (the far end judges those). */
const namePattern = /^[a-zA-Z0-9_](?:[a-zA-Z0-9._-]{0,252})$/;
const ipv6Pattern = /^[0-9a-fA-F:.]+$/;

/**
 * `HOST:PORT` as `Caller` takes it. `host`: a name, an IPv4 address, or an IPv6 address with or without brackets.
 * undefined: it can't be one, or the port is none.
 */
export function targetText(host: string, port: number): string | undefined {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  if (bare.includes(":")) {
    const address = canonicalIpv6(bare);
    return address === undefined ? undefined : `[${address}]:${port}`;
  }
  return bare === host && namePattern.test(host) ? `${host}:${port}` : undefined;
}

/** The shortest form (RFC 5952), as URLs have it: `::ffff:1.2.3.4` becomes `::ffff:102:304`. undefined: it is none. */
export function canonicalIpv6(text: string): string | undefined {
  if (!ipv6Pattern.test(text)) return undefined;
  const url = `http://[${text}]/`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : undefined;
}
