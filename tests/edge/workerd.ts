import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { Miniflare } from "miniflare";
import { bundleWorkers } from "./workers-bundle.ts";

const root = join(import.meta.dir, "../..");

export interface WorkerdOptions {
  /** Variables and secrets, as in wrangler.toml. */
  readonly variables: Readonly<Record<string, string>>;
  /** Absent: a free one. */
  readonly port?: number;
  /** A folder for the objects' storage. Absent: it goes with the process. */
  readonly persist?: string;
  readonly compatibilityDate?: string;
}

/** What stands before a Worker at Cloudflare, as far as the relay leans on it: it tells who the visitor is. */
const front = `export default {
  fetch(request, env) {
    const passed = new Request(request);
    passed.headers.set("CF-Connecting-IP", "127.0.0.1");
    return env.RELAY.fetch(passed);
  },
};`;

const decoder = new TextDecoder();
let bundle: Promise<string> | undefined;

/** The relay in workerd, by Miniflare. Its socket leads straight into workerd: Miniflare's own front would code bodies and tidy URLs. */
export class Workerd {
  private constructor(
    readonly miniflare: Miniflare,
    readonly port: number,
    /** What workerd and the relay printed. */
    readonly output: { text: string },
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  static async start(options: WorkerdOptions): Promise<Workerd> {
    bundle ??= bundleWorkers();
    const script = await bundle;
    const output = { text: "" };
    const { date, flags } = wranglerFacts();
    const compatibility = { compatibilityDate: options.compatibilityDate ?? date, compatibilityFlags: flags };
    const miniflare = new Miniflare({
      host: "127.0.0.1",
      port: 0,
      ...(options.persist !== undefined && { durableObjectsPersist: options.persist }),
      handleRuntimeStdio(stdout: Readable, stderr: Readable) {
        const keep = (bytes: Uint8Array) => (output.text += decoder.decode(bytes));
        for (const stream of [stdout, stderr]) stream.on("data", keep);
      },
      workers: [
        {
          name: "front",
          modules: true,
          script: front,
          ...compatibility,
          serviceBindings: { RELAY: "relay" },
          unsafeDirectSockets: [{ host: "127.0.0.1", port: options.port ?? 0 }],
        },
        {
          name: "relay",
          modules: true,
          script,
          ...compatibility,
          bindings: { ...options.variables },
          durableObjects: { TUNNELS: { className: "TunnelObject", useSQLite: true } },
        },
      ],
    });
    await miniflare.ready;
    const { port } = await miniflare.unsafeGetDirectURL("front");
    return new Workerd(miniflare, Number(port), output);
  }

  stop(): Promise<void> {
    return this.miniflare.dispose();
  }
}

/** What is deployed is what is tested: the date and flags of wrangler.toml. */
function wranglerFacts(): { readonly date: string; readonly flags: string[] } {
  const text = readFileSync(join(root, "wrangler.toml"), "utf8");
  const date = /^compatibility_date = "([^"]+)"/m.exec(text)?.[1] ?? "";
  const flags = /^compatibility_flags = \[([^\]]*)\]/m.exec(text)?.[1] ?? "";
  return { date, flags: [...flags.matchAll(/"([^"]+)"/g)].map(([, flag = ""]) => flag) };
}
