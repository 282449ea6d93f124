import { type Address, parseAddress } from "../shared/egress/address.ts";
import { Network, single } from "../shared/egress/network.ts";
import { UnderpassError } from "../shared/errors.ts";
import { isNamed } from "../shared/http1/head.ts";

/**
 * The proxies before the relay, which are believed when they say by X-Forwarded-For who calls. From anybody else the
 * field is a visitor's own, and means nothing.
 */
export class TrustedProxies {
  constructor(private readonly networks: readonly Network[]) {}

  /** `remote`: `address:port` of a socket's other end. */
  has(remote: string): boolean {
    const address = addressIn(remote);
    return address !== undefined && this.includes(address);
  }

  /**
   * Who called the first of the proxies, as `address:0`: each adds whom it sees to the end, so what counts is the last
   * that is none of them. undefined: the fields say nothing, or nonsense; then the proxy itself is all that is known.
   */
  visitorOf(fields: readonly string[]): string | undefined {
    let first: Address | undefined;
    for (let i = fields.length - 2; i >= 0; i -= 2) {
      if (!isNamed(fields[i], "x-forwarded-for")) continue;
      for (const text of (fields[i + 1] ?? "").split(",").reverse()) {
        const address = addressIn(text.trim());
        if (address === undefined) return undefined;
        first = address;
        if (!this.includes(address)) return `${address.bracketed}:0`;
      }
    }
    return first && `${first.bracketed}:0`;
  }

  private includes(address: Address): boolean {
    return this.networks.some((network) => network.contains(address));
  }
}

/** `10.0.0.0/8`, or one address. Throws `usage`. */
export function parseProxy(text: string): Network {
  const [, base = "", bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = parseAddress(base);
  const most = address?.isV4 === true ? 32 : 128;
  if (address === undefined || Number(bits ?? 0) > most) {
    throw new UnderpassError(
      "usage",
      `'${text}' is no address and no range. Write it like 127.0.0.1 or 10.0.0.0/8.`,
    );
  }
  const network = bits === undefined ? single(address) : new Network(address, Number(bits));
  if (!network.isAligned) {
    throw new UnderpassError("usage", `'${text}' has bits set after the first ${network.bits}.`);
  }
  return network;
}

/** `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. */
function addressIn(text: string): Address | undefined {
  const [, bracketed, v4] = /^(?:\[([^\]]*)\](?::\d{1,5})?|([\d.]+)(?::\d{1,5})?)$/.exec(text) ?? [];
  return parseAddress(bracketed ?? v4 ?? text);
}
