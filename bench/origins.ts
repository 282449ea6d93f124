import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./child.ts";
import { startNginx } from "./nginx.ts";

/** What every contender reaches: the same two origins for all. */
export interface Origins {
  readonly web: Origin;
  readonly sink: Origin;
  stop(): Promise<void>;
}

export interface Origin {
  readonly port: number;
  readonly pid: number;
}

/** Paths of the web origin and how many bytes each answers with. */
export const bodies = {
  "/10b": 10,
  "/10kb": 10_000,
  "/1mb": 1_000_000,
  "/bulk": 1 << 30,
} as const;

/**
 * `web`: nginx with one worker; 10 bytes out of its configuration, the rest out of files.
 * `sink`: takes uploads, and answers with the number of bytes only after the last has come (nginx can't: it would
 * answer at once, or write to a disk).
 */
export async function startOrigins(): Promise<Origins> {
  const folder = await mkdtemp(join(tmpdir(), "underpass-bench-origin-"));
  for (const [path, bytes] of Object.entries(bodies)) {
    if (path === "/10b") continue;
    const file = await open(join(folder, path), "w");
    await file.truncate(bytes); // sparse: it fills the page cache, not a disk
    await file.close();
    for await (const _piece of Bun.file(join(folder, path)).stream()) {
      // Read once, so that no contender is the one who waits for it.
    }
  }
  const nginx = await startNginx(
    1,
    ([port]) => `open_file_cache max=16; server { listen 127.0.0.1:${port} backlog=4096; root ${folder};
    location = /10b { default_type text/plain; return 200 "0123456789"; } }`,
  );
  const sink = new Child({ command: [process.execPath, join(import.meta.dir, "programs/sink.ts")] });
  const sinkPort = await sink.line((line) => Number(line));
  return {
    web: { port: nginx.ports[0] ?? 0, pid: nginx.pid },
    sink: { port: sinkPort, pid: sink.pid },
    async stop() {
      await Promise.all([nginx.stop(), sink.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
