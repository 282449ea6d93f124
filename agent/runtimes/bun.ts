import { mkdtemp, rm, writeFile } from "node:fs/promises";
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

/** Larger is no token and no login; a device never ends. */
const maxTextBytes = 65_536;

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
  async readText(path) {
    const file = Bun.file(path).slice(0, maxTextBytes + 1);
    const text = await file.text();
    if (text.length > maxTextBytes) throw new RangeError(`${path} has more than ${maxTextBytes} bytes`);
    return text;
  },
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
