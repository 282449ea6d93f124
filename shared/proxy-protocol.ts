import ipaddr from "ipaddr.js";
import { type Address, parseAddress } from "./egress/address.ts";

/** The PROXY protocol as haproxy's doc/proxy-protocol.txt has it: v1 is its section 2.1, v2 its section 2.2. */
export type ProxyVersion = "v1" | "v2";

/** Both as texts `1.2.3.4:5` or `[::1]:5`; absent or anything else: not known. */
export interface ProxiedEnds {
  /** Who called. */
  readonly visitor?: string | undefined;
  /** Where he arrived. */
  readonly local?: string | undefined;
}

interface Place {
  readonly address: Address;
  readonly port: number;
}

const encoder = new TextEncoder();
const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a] as const;
/** Version 2, and what came before a visitor's bytes: LOCAL (the receiver looks at the socket itself) or PROXY. */
const commands = { local: 0x20, proxy: 0x21 } as const;
const families = { unspecified: 0x00, tcp4: 0x11, tcp6: 0x21 } as const;
const mappedPrefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] as const;

/**
 * What goes before the first byte to an origin that is to know who called; to be written at once. Where an end is not
 * known it says so (UNKNOWN, LOCAL), as the origin waits for a header in any case. Of mixed families the IPv4 one is
 * given as IPv4-mapped IPv6. Never throws: the texts come over the wire.
 */
export function writeProxyHeader(version: ProxyVersion, { visitor, local }: ProxiedEnds): Uint8Array {
  const source = readPlace(visitor);
  const destination = readPlace(local);
  const ends = source && destination && { source, destination };
  return version === "v1" ? textHeader(ends) : binaryHeader(ends);
}

type Ends = { readonly source: Place; readonly destination: Place } | undefined;

function textHeader(ends: Ends): Uint8Array {
  if (ends === undefined) return encoder.encode("PROXY UNKNOWN\r\n");
  const { source, destination } = ends;
  const isV4 = areV4(ends);
  const family = isV4 ? "TCP4" : "TCP6";
  const text = ({ address }: Place) =>
    isV4 ? address.text : new ipaddr.IPv6(bytesOf(address, isV4)).toString();
  return encoder.encode(
    `PROXY ${family} ${text(source)} ${text(destination)} ${source.port} ${destination.port}\r\n`,
  );
}

function binaryHeader(ends: Ends): Uint8Array {
  if (ends === undefined) return Uint8Array.of(...signature, commands.local, families.unspecified, 0, 0);
  const { source, destination } = ends;
  const isV4 = areV4(ends);
  const block = [
    ...bytesOf(source.address, isV4),
    ...bytesOf(destination.address, isV4),
    ...portBytes(source.port),
    ...portBytes(destination.port),
  ];
  const family = isV4 ? families.tcp4 : families.tcp6;
  return Uint8Array.of(...signature, commands.proxy, family, ...portBytes(block.length), ...block);
}

function areV4({ source, destination }: NonNullable<Ends>): boolean {
  return source.address.isV4 && destination.address.isV4;
}

function bytesOf({ isV4, bytes }: Address, asV4: boolean): number[] {
  return isV4 && !asV4 ? [...mappedPrefix, ...bytes] : [...bytes];
}

function portBytes(port: number): number[] {
  return [port >>> 8, port & 0xff];
}

/** A zone (`%eth0`) means something on one machine only, and is left out. */
const place = /^(?:\[([\da-f]*:[\da-f:.]+)(?:%[^\]]*)?\]|([\d.]+)):(\d{1,5})$/i;

function readPlace(text: string | undefined): Place | undefined {
  const [, inner, dotted, digits] = place.exec(text ?? "") ?? [];
  const port = Number(digits);
  const address = parseAddress(inner ?? dotted ?? "");
  if (address === undefined || !(port <= 65_535)) return undefined;
  // Short and octal forms are read there too; a socket has none of them.
  return dotted !== undefined && dotted !== address.text ? undefined : { address, port };
}
