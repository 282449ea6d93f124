import { canonicalIpv6, targetText } from "./proxy-target.ts";

/** Address types of SOCKS5 (RFC 1928 section 5). */
const addressTypes = { ipv4: 1, name: 3, ipv6: 4 } as const;
const decoder = new TextDecoder("latin1");

/** An address and port of a SOCKS5 request or datagram header. */
export interface SocksAddress {
  /** `HOST:PORT`; undefined where that is no place to call: a name with odd characters, port 0. */
  readonly target: string | undefined;
  /** Where it ends. */
  readonly to: number;
}

/** Reads the address whose type stands at `at`. undefined: more is to come; `unknown`: a type that SOCKS5 has not. */
export function readSocksAddress(bytes: Uint8Array, at: number): SocksAddress | "unknown" | undefined {
  const type = bytes[at];
  const length = bytes[at + 1];
  if (type === undefined) return undefined;
  let from = at + 1;
  let size = type === addressTypes.ipv4 ? 4 : 16;
  if (type === addressTypes.name) {
    if (length === undefined) return undefined;
    from++;
    size = length;
  } else if (type !== addressTypes.ipv4 && type !== addressTypes.ipv6) return "unknown";
  const to = from + size + 2;
  if (to > bytes.length) return undefined;
  const raw = bytes.subarray(from, from + size);
  const port = ((bytes[to - 2] ?? 0) << 8) | (bytes[to - 1] ?? 0);
  const host =
    type === addressTypes.name
      ? decoder.decode(raw)
      : type === addressTypes.ipv4
        ? raw.join(".")
        : hexGroups(raw).join(":");
  return { target: targetText(host, port), to };
}

const anywhere = Uint8Array.of(addressTypes.ipv4, 0, 0, 0, 0, 0, 0);

/** Type, address and port of `address:port` (IPv6 in brackets) for a reply; 0.0.0.0:0 for anything else. */
export function writeSocksAddress(text: string): Uint8Array {
  const [, bracketed, plain = "", digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits ?? 0);
  const address = bracketed === undefined ? ipv4Bytes(plain) : ipv6Bytes(bracketed);
  if (address === undefined || port > 65_535) return anywhere;
  const type = address.length === 4 ? addressTypes.ipv4 : addressTypes.ipv6;
  return Uint8Array.of(type, ...address, port >>> 8, port & 0xff);
}

function ipv4Bytes(text: string): readonly number[] | undefined {
  const parts = text.split(".");
  const valid = parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256);
  return valid ? parts.map(Number) : undefined;
}

function ipv6Bytes(text: string): readonly number[] | undefined {
  const address = canonicalIpv6(text);
  if (address === undefined) return undefined;
  const groups = (part: string | undefined): readonly string[] => (part ? part.split(":") : []);
  const [front, back] = address.split("::");
  const before = groups(front);
  const after = groups(back);
  const zeros = new Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >>> 8, value & 0xff];
  });
}

function hexGroups(bytes: Uint8Array): readonly string[] {
  const groups: string[] = [];
  for (let i = 0; i < bytes.length; i += 2)
    groups.push((((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)).toString(16));
  return groups;
}
