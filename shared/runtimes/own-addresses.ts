import { networkInterfaces } from "node:os";

/** Interfaces come and go, and each look at them costs some system calls. */
const keptMs = 5_000;

/**
 * Tells whether an address (canonical text, IPv6 without brackets) is one of this machine's interfaces: what EgressDoor
 * asks, on Bun and Deno. An address that a router before this machine holds for it is not seen.
 */
export function ownAddresses(
  look: () => ReturnType<typeof networkInterfaces> = networkInterfaces,
  now: () => number = () => performance.now(),
): (address: string) => boolean {
  let known: ReadonlySet<string> = new Set();
  let readMs = Number.NEGATIVE_INFINITY;
  return (address) => {
    const nowMs = now();
    if (nowMs - readMs >= keptMs) {
      readMs = nowMs;
      const found = Object.values(look()).flatMap((addresses) => addresses ?? []);
      known = new Set(found.map((each) => each.address));
    }
    return known.has(address);
  };
}
