import ipaddr from "ipaddr.js";

type Value = ipaddr.IPv4 | ipaddr.IPv6;

/** An IP address in its one canonical form, whatever it was written as. */
export class Address {
  /** `127.0.0.1`, `2001:db8::1`: dotted decimal, or RFC 5952 without brackets. What is dialled, and what is shown. */
  readonly text: string;

  /** For `parseAddress` and tests: `value` is not IPv4-mapped and has no zone. */
  constructor(readonly value: Value) {
    this.text = value.toString();
  }

  get isV4(): boolean {
    return this.value.kind() === "ipv4";
  }

  /** In network order: 4 or 16. */
  get bytes(): readonly number[] {
    return this.value.toByteArray();
  }

  /** As in a URL or a `HOST:PORT`. */
  get bracketed(): string {
    return this.isV4 ? this.text : `[${this.text}]`;
  }
}

/**
 * Reads any text that a resolver might take for an address: dotted, short (`127.1`), decimal, octal and hexadecimal IPv4, every
 * spelling of IPv6 (without brackets). Done by the platform's URL parser (WHATWG URL, host parsing), because that is the
 * one definition of these forms that browsers, proxies and all our runtimes share; ipaddr.js reads some differently
 * (`::1.2.3.4` as IPv4-mapped), so it only gets what is canonical already. An IPv4-mapped address is the IPv4 address: it is what
 * a socket would reach. undefined: not an address, or one with a zone (`fe80::1%eth0`), which means something on one machine only.
 */
export function parseAddress(text: string): Address | undefined {
  if (text.length > maxAddressChars) return undefined;
  if (text.includes(":")) return parseV6(text);
  if (!/^[0-9a-fx.]+$/i.test(text)) return undefined;
  const host = URL.parse(`http://${text}/`)?.hostname;
  return host === undefined ? undefined : canonicalAddress(host);
}

function parseV6(text: string): Address | undefined {
  // The last 32 bits may be dotted decimal; WebKit's parser (Bun) refuses some of these, so it gets them as groups.
  const [, head, ...octets] = /^([0-9a-f:]*:)(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/i.exec(text) ?? [];
  if (octets.some((octet) => Number(octet) > 255 || /^0\d/.test(octet))) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = octets.map(Number);
  const groups =
    head === undefined ? text : `${head}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  if (!/^[0-9a-f:]+$/i.test(groups)) return undefined;
  const host = URL.parse(`http://[${groups}]/`)?.hostname;
  return host === undefined ? undefined : canonicalAddress(host);
}

/** `host` as a URL parser gives it. undefined: a name. */
export function canonicalAddress(host: string): Address | undefined {
  if (dotted.test(host) && ipaddr.IPv4.isValid(host)) return new Address(ipaddr.IPv4.parse(host));
  const inner = /^\[([0-9a-f:]+)\]$/.exec(host)?.[1];
  if (inner === undefined || !ipaddr.IPv6.isValid(inner)) return undefined;
  const value = ipaddr.IPv6.parse(inner);
  const bytes = value.toByteArray();
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return new Address(isMapped ? new ipaddr.IPv4(bytes.slice(12)) : value);
}

/** Longer than any address in any spelling that is not padded with zeros on purpose. */
const maxAddressChars = 100;
const dotted = /^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/;
