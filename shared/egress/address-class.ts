import ipaddr from "ipaddr.js";
import { Address, parseAddress } from "./address.ts";
import { Network, single } from "./network.ts";

/** What an address is for, from open to closed: where several hold, the last one counts. */
export type AddressClass = (typeof addressClasses)[number];
export const addressClasses = [
  "public",
  "reserved",
  "private",
  "loopback",
  "link-local",
  "metadata",
] as const;

export interface AddressJudgement {
  readonly class: AddressClass;
  /** The narrowest special range it is in: a grant for a special address must lie within. undefined for public ones. */
  readonly range: Network | undefined;
}

/**
 * What is not public, and what is public inside of that; the narrowest range that has an address decides. From the IANA
 * registries of special-purpose addresses (RFC 6890, RFC 8190), IPv6 address space and multicast, with the addresses that cloud
 * providers give to their metadata. Where the registries call a part of a closed range globally reachable (anycast of PCP, TURN and SRP,
 * ORCHIDv2, AMT, drone tags in 2001::/23; 192.0.0.9 and .10) it stays closed: nobody reaches a host there.
 */
const table: Readonly<Record<AddressClass, readonly string[]>> = {
  public: [
    "0.0.0.0/0",
    // All that IANA gives to the regional registries (RFC 4291 section 2.4). What it may give later is closed until it does.
    "2000::/3",
    // NAT64 (RFC 6052): what it reaches is the IPv4 address inside, which is judged too.
    "64:ff9b::/96",
  ],
  private: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
  // The unspecified address reaches this machine, too.
  loopback: ["127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128"],
  "link-local": ["169.254.0.0/16", "fe80::/10"],
  metadata: [
    // AWS (also its DNS, time, tasks and pods), Google, Azure, Oracle, OpenStack, DigitalOcean, Hetzner and more.
    "169.254.169.0/24",
    "169.254.170.0/24",
    "fe80::a9fe:a9fe/128",
    "fd00:ec2::/64",
    "fd20:ce::254/128",
    "fd00:c1::a9fe:a9fe/128",
    // Scaleway.
    "169.254.42.42/32",
    "fd00:42::42/128",
    // Tencent.
    "169.254.0.23/32",
    "169.254.10.10/32",
    // Azure's platform, at a public address.
    "168.63.129.16/32",
    // Alibaba, Volcengine, Oracle's elder one.
    "100.100.100.200/32",
    "100.96.0.96/32",
    "192.0.0.192/32",
  ],
  reserved: [
    "0.0.0.0/8",
    "100.64.0.0/10",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    // All but 2000::/3. Not ::/0, or a grant for ::/0 would lie within.
    "::/3",
    "4000::/2",
    "8000::/1",
    // IPv4-compatible and IPv4-translated, NAT64 for local use, discard.
    "::/96",
    "::ffff:0:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    // IETF protocol assignments: Teredo, benchmarking, ORCHID and others.
    "2001::/23",
    "2001::/32",
    "2001:db8::/32",
    // 6to4.
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    // Site-local.
    "fec0::/10",
    "ff00::/8",
  ],
};

interface Row {
  readonly class: AddressClass;
  readonly network: Network;
}

/** The narrowest first. */
const rows: readonly Row[] = addressClasses
  .flatMap((name) => table[name].map((text): Row => ({ class: name, network: networkOf(text) })))
  .sort((a, b) => b.network.bits - a.network.bits);

/** Judges `address`, and by the same table every IPv4 address that it carries inside. */
export function judge(address: Address): AddressJudgement {
  const row = rows.find(({ network }) => network.contains(address));
  // Every address is in some row; one that were not is closed.
  let worst: AddressClass = row?.class ?? "reserved";
  let isCarried = false;
  for (const inner of carriedAddresses(address)) {
    const { class: name } = judge(inner);
    if (name !== "public") isCarried = true;
    if (addressClasses.indexOf(name) > addressClasses.indexOf(worst)) worst = name;
  }
  if (worst === "public") return { class: worst, range: undefined };
  // Which range of IPv6 leads to a range of IPv4 is up to the translator: such an address is granted alone or not at all.
  return { class: worst, range: isCarried || row === undefined ? single(address) : row.network };
}

const isatap = [0x00, 0x00, 0x5e, 0xfe];
const compatible = networkOf("::/96");
const translated = networkOf("::ffff:0:0:0/96");
const nat64 = networkOf("64:ff9b::/96");
const localNat64 = networkOf("64:ff9b:1::/48");
const teredo = networkOf("2001::/32");
const sixToFour = networkOf("2002::/16");

/** The IPv4 addresses that a translator or a tunnel on the way would take from inside an IPv6 address. */
function carriedAddresses(address: Address): readonly Address[] {
  if (address.isV4) return [];
  const { bytes } = address;
  const at = (...places: readonly number[]) =>
    new Address(new ipaddr.IPv4(places.map((place) => bytes[place] ?? 0)));
  const last = at(12, 13, 14, 15);
  if (compatible.contains(address) || translated.contains(address) || nat64.contains(address)) return [last];
  // Its prefix may have any of the lengths of RFC 6052 section 2.2 from 48 on; octet 8 is left out.
  if (localNat64.contains(address)) return [last, at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12)];
  if (teredo.contains(address)) {
    const hidden = new Address(new ipaddr.IPv4(bytes.slice(12).map((byte) => byte ^ 0xff)));
    return [at(4, 5, 6, 7), hidden];
  }
  if (sixToFour.contains(address)) return [at(2, 3, 4, 5)];
  // ISATAP (RFC 5214), under any prefix; 0x02 in the first octet says that the IPv4 address is unique in the world.
  if (isatap.every((byte, index) => byte === ((bytes[8 + index] ?? 0) & (index === 0 ? 0xfd : 0xff))))
    return [last];
  return [];
}

function networkOf(text: string): Network {
  const [base = "", bits] = text.split("/");
  const address = parseAddress(base);
  if (address === undefined) throw new TypeError(`not an address: ${base}`);
  return new Network(address, Number(bits));
}
