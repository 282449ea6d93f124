import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
/** It takes a second; one that waits for something would do so for ever. */
const wranglerTimeoutMs = 60_000;

export interface WorkersBundle {
  /** The one module that would be sent to Cloudflare. */
  readonly script: string;
  /** What wrangler said on stdout and stderr. */
  readonly printed: string;
}

export interface BundleOptions {
  readonly minify?: boolean;
  /** Beside the few variables that wrangler gets. */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * The relay for Workers as `wrangler deploy` makes it of wrangler.toml. Reaches for nothing outside: what would is
 * switched off, and it sees no credentials. Rejects with what it printed when it refuses.
 */
export async function bundleWorkers({ minify, environment }: BundleOptions = {}): Promise<WorkersBundle> {
  const folder = await mkdtemp(join(tmpdir(), "underpass-bundle-"));
  const program = join(root, "node_modules/wrangler/bin/wrangler.js");
  const args = ["deploy", "--dry-run", "--outdir", folder, ...(minify ? ["--minify"] : [])];
  const { PATH = "", HOME = "" } = process.env;
  try {
    const child = Bun.spawn([process.execPath, program, ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: wranglerTimeoutMs,
      env: {
        PATH,
        HOME,
        // What it keeps for itself does not go to the user's folders.
        XDG_CONFIG_HOME: folder,
        WRANGLER_WRITE_LOGS: "false",
        // The banner is what looks for a newer version.
        WRANGLER_HIDE_BANNER: "true",
        WRANGLER_SEND_METRICS: "false",
        WRANGLER_SEND_ERROR_REPORTS: "false",
        ...environment,
      },
    });
    const texts = [child.stdout, child.stderr].map((stream) => new Response(stream).text());
    const printed = (await Promise.all(texts)).join("");
    if ((await child.exited) !== 0) throw new Error(`wrangler deploy --dry-run: ${printed}`);
    return { script: await Bun.file(join(folder, "workers.js")).text(), printed };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
