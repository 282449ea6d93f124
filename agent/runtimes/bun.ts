import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { Memory } from "../../shared/mux/memory.ts";
import { dial, listen, startTls } from "../../shared/runtimes/bun-sockets.ts";
import { openDatagrams } from "../../shared/runtimes/node-datagrams.ts";
import { nodeResolve } from "../../shared/runtimes/node-resolve.ts";
import { ownAddresses } from "../../shared/runtimes/own-addresses.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import { agentMemoryBytes } from "../agent.ts";
import type { Platform } from "../platform.ts";
import { StandardEnd } from "./standard-end.ts";

/** What Bun gives an agent. */
export const bunPlatform: Platform = {
  memory: new Memory(agentMemoryBytes),
  dial,
  listen,
  startTls,
  openDatagrams,
  resolve: nodeResolve(),
  isOwn: ownAddresses(),
  clock: systemClock,
  random: (bytes) => crypto.getRandomValues(bytes),
  environment: process.env,
  readText: (path) => readFile(path, "utf8"),
  standardPipe: () => new StandardEnd(),
  async keepSecret(text) {
    // `mkdtemp` makes it for this user alone.
    const folder = await mkdtemp(join(tmpdir(), "underpass-"));
    const path = join(folder, "token");
    await writeFile(path, text, { mode: 0o600 });
    return { path, remove: () => rm(folder, { recursive: true, force: true }) };
  },
  lanAddress() {
    for (const addresses of Object.values(networkInterfaces())) {
      for (const { family, internal, address } of addresses ?? []) {
        if (family === "IPv4" && !internal) return address;
      }
    }
    return undefined;
  },
};
