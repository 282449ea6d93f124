import { networkInterfaces } from "node:os";
import { parseAddress } from "../egress/address.ts";

/** Interfaces come and go, but not at each dial. */
const keptMs = 1_000;

/** Tells whether an address (canonical text) is one of this machine's own now, on Bun and Deno. */
export function ownAddresses(): (address: string) => boolean {
  let known = new Set<string>();
  let readMs = Number.NEGATIVE_INFINITY;
  return (address) => {
    const nowMs = performance.now();
    if (nowMs - readMs >= keptMs) {
      readMs = nowMs;
      known = new Set(
        Object.values(networkInterfaces()).flatMap((places) =>
          (places ?? []).map((place) => parseAddress(place.address.replace(/%.*/, ""))?.text ?? ""),
        ),
      );
    }
    return known.has(address);
  };
}
