import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./child.ts";
import type { Way } from "./contenders/contender.ts";
import { startNginx } from "./nginx.ts";
import { accepts, freePorts } from "./ports.ts";
import type { Site } from "./site.ts";

/** What every contender reaches: the same for all. Only those are there that the ways in question need. */
export interface Origins {
  /** Rejects when no way was asked for that needs it. */
  of(way: Way): Origin;
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

/** Which origin is behind a way. */
const originOf = {
  web: "web",
  tcp: "web",
  sink: "sink",
  chat: "chat",
  stream: "stream",
} as const satisfies Record<Way, string>;

/**
 * `web`: nginx with one worker; 10 bytes out of its configuration, the rest out of files.
 * `sink`: takes uploads, and answers with the number of bytes only after the last has come (nginx can't: it would
 * answer at once, or write to a disk). `chat`: sends each WebSocket message back. `stream`: iperf3.
 */
export async function startOrigins(site: Site, ways: readonly Way[]): Promise<Origins> {
  await using cleanup = new AsyncDisposableStack();
  const origins = new Map<string, Origin>();
  for (const kind of new Set(ways.map((way) => originOf[way])))
    origins.set(kind, await starters[kind](site, cleanup));
  const all = cleanup.move();
  return {
    of(way) {
      const origin = origins.get(originOf[way]);
      if (origin === undefined) throw new Error(`no origin for ${way}`);
      return origin;
    },
    stop: () => all.disposeAsync(),
  };
}

type Starter = (site: Site, cleanup: AsyncDisposableStack) => Promise<Origin>;

const starters: Readonly<Record<(typeof originOf)[Way], Starter>> = {
  web: startWeb,
  sink: (site, cleanup) => startProgram("sink.ts", site, cleanup),
  chat: (site, cleanup) => startProgram("chat.ts", site, cleanup),
  stream: startStream,
};

async function startWeb(site: Site, cleanup: AsyncDisposableStack): Promise<Origin> {
  const folder = await mkdtemp(join(tmpdir(), "underpass-bench-origin-"));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  for (const [path, bytes] of Object.entries(bodies)) {
    if (path === "/10b") continue;
    const file = await open(join(folder, path), "w");
    await file.truncate(bytes); // sparse: it fills the page cache, not a disk
    await file.close();
    for await (const _piece of Bun.file(join(folder, path)).stream()) {
      // Read once, so that no contender is the one who waits for it.
    }
  }
  const nginx = await startNginx({
    host: site.privateHost,
    privately: site.privately,
    portCount: 1,
    http: ([
      port,
    ]) => `open_file_cache max=16; server { listen ${site.originHost}:${port} backlog=4096; root ${folder};
    location = /10b { default_type text/plain; return 200 "0123456789"; } }`,
  });
  cleanup.defer(nginx.stop);
  return { port: nginx.ports[0] ?? 0, pid: nginx.pid };
}

/** One of ours: its first line is its port. */
async function startProgram(file: string, site: Site, cleanup: AsyncDisposableStack): Promise<Origin> {
  const command = [process.execPath, join(import.meta.dir, "programs", file), site.originHost];
  const child = new Child({ command: site.privately(command) });
  cleanup.defer(() => child.stop());
  return { port: await child.line((line) => Number(line)), pid: child.pid };
}

async function startStream(site: Site, cleanup: AsyncDisposableStack): Promise<Origin> {
  const [port = 0] = await freePorts(1);
  const command = ["iperf3", "--server", "--bind", site.originHost, "--port", String(port)];
  const child = new Child({ command: site.privately(command) });
  cleanup.defer(() => child.stop());
  await accepts(site.privateHost, port, child);
  return { port, pid: child.pid };
}
