import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { dial, listen } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import type { Platform } from "../platform.ts";

/** What Bun gives an agent. */
export const bunPlatform: Platform = {
  dial,
  listen,
  clock: systemClock,
  random: (bytes) => crypto.getRandomValues(bytes),
  readText: (path) => readFile(path, "utf8"),
  lanAddress() {
    for (const addresses of Object.values(networkInterfaces())) {
      for (const { family, internal, address } of addresses ?? []) {
        if (family === "IPv4" && !internal) return address;
      }
    }
    return undefined;
  },
};
