import { expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { ownAddresses } from "../../shared/runtimes/own-addresses.ts";

test("the addresses of this machine's interfaces are its own, and no others", () => {
  const isOwn = ownAddresses();
  const found = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  expect(found.length).toBeGreaterThan(0);
  for (const { address } of found) expect(isOwn(address)).toBe(true);
  for (const other of ["192.0.2.1", "2001:db8::1", ""]) expect(isOwn(other)).toBe(false);
});

test("an interface that comes or goes is noticed within some seconds, and not asked for each time", () => {
  let nowMs = 0;
  let looks = 0;
  let address = "192.0.2.1";
  const look = (): ReturnType<typeof networkInterfaces> => {
    looks++;
    return {
      wan: [{ family: "IPv4", address, netmask: "", mac: "", internal: false, cidr: null }],
    };
  };
  const isOwn = ownAddresses(look, () => nowMs);
  for (let i = 0; i < 3; i++) expect(isOwn("192.0.2.1")).toBe(true);
  expect(looks).toBe(1);
  address = "192.0.2.2";
  nowMs = 10_000;
  expect(isOwn("192.0.2.1")).toBe(false);
  expect(isOwn("192.0.2.2")).toBe(true);
  expect(looks).toBe(2);
});
