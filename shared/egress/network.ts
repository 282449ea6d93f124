import type { Address } from "./address.ts";

/** A range of addresses of one family, or (all bits) a single one. */
export class Network {
  constructor(
    readonly base: Address,
    /** The length of the prefix. */
    readonly bits: number,
  ) {}

  /** `10.0.0.0/8`, `2001:db8::/32`. */
  get text(): string {
    return `${this.base.text}/${this.bits}`;
  }

  contains(address: Address): boolean {
    return this.base.isV4 === address.isV4 && address.value.match(this.base.value, this.bits);
  }

  /** Every address of this one is in `other`. */
  isWithin(other: Network): boolean {
    return this.bits >= other.bits && other.contains(this.base);
  }

  /** The base has no bits set beyond the prefix. */
  get isAligned(): boolean {
    const { bytes } = this.base;
    return bytes.every((byte, index) => {
      const kept = Math.min(8, Math.max(0, this.bits - 8 * index));
      return (byte & (0xff >> kept)) === 0;
    });
  }
}

/** `address` alone. */
export function single(address: Address): Network {
  return new Network(address, address.isV4 ? 32 : 128);
}
