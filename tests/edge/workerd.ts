import { join } from "node:path";
import type { Readable } from "node:stream";
import { Miniflare } from "miniflare";
import type { ObjectCounts } from "./object-counts.ts";
import { bundleWorkers, type WorkersBundle } from "./workers-bundle.ts";
import { workersDate } from "./workers-date.ts";
import { wranglerToml } from "./wrangler-toml.ts";

export interface WorkerdOptions {
  /** Variables and secrets, as in wrangler.toml. */
  readonly variables: Readonly<Record<string, string>>;
  /** Absent: a free one. */
  readonly port?: number;
  /** A folder for the objects' storage. Absent: it goes with the process. */
  readonly persist?: string;
  /** `counts` can be asked for. */
  readonly counted?: boolean;
}

/** relay/runtimes/workers-log.ts */
export interface Awakening {
  readonly name: string;
  readonly sessions: number;
  readonly links: number;
  readonly gone: number;
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
let bundle: Promise<WorkersBundle> | undefined;

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
    const { script } = await bundle;
    const output = { text: "" };
    const { workerd, compatibilityDate, compatibilityFlags } = workersDate();
    const compatibility = { compatibilityDate, compatibilityFlags: [...compatibilityFlags] };
    process.env["MINIFLARE_WORKERD_PATH"] = workerd;
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
          modules: options.counted === true ? await countedModules(script) : plainModules(script),
          ...compatibility,
          bindings: { ...options.variables },
          durableObjects: objectsToBind(),
        },
      ],
    });
    await miniflare.ready;
    const { port } = await miniflare.unsafeGetDirectURL("front");
    return new Workerd(miniflare, Number(port), output);
  }

  /** Ends the object of a tunnel as the platform does when it puts it to sleep, or whenever it likes: WebSockets stay. */
  async evict(name: string): Promise<void> {
    await this.miniflare.unsafeEvictDurableObject("relay", "TunnelObject", { name, webSockets: "hibernate" });
  }

  /** The same while it still waits for something, be it for the next message of an agent. Only with `counted`. */
  async evictBusy(name: string): Promise<void> {
    await this.ask("halt", name);
    await this.evict(name);
  }

  /** Ends the object of a tunnel at once, WebSockets and all: as a deployment does, or the end of its machine. Only with `counted`. */
  async abort(name: string): Promise<void> {
    await this.ask("abort", name);
  }

  /** Of the object of a tunnel, which is not woken by it. Only with `counted`. */
  async counts(name: string): Promise<ObjectCounts> {
    return (await this.ask("counts", name)).json() as Promise<ObjectCounts>;
  }

  /** Resolves when the object of a tunnel has nothing under way. Only with `counted`. */
  async rest(name: string): Promise<ObjectCounts> {
    for (;;) {
      const counts = await this.counts(name);
      if (counts.resting) return counts;
    }
  }

  /** counting-object.ts */
  private async ask(what: "abort" | "counts" | "halt", name: string): Promise<Response> {
    // Miniflare's types want those of Workers to be there.
    const relay: unknown = await this.miniflare.getWorker("relay");
    return (relay as { fetch(url: string): Promise<Response> }).fetch(`http://${what}.test/${name}`);
  }

  /** What objects have said of themselves when they came to life, in order. */
  awakenings(name: string): Awakening[] {
    return this.output.text
      .split("\n")
      .filter((line) => line.includes('"event":"object"'))
      .map((line) => JSON.parse(line.slice(line.indexOf("{"))) as Awakening)
      .filter((event) => event.name === name);
  }

  stop(): Promise<void> {
    return this.miniflare.dispose();
  }
}

interface Module {
  readonly type: "ESModule";
  readonly path: string;
  readonly contents: string;
}

/** Where the bundle stands for those that import the source. */
const bundlePath = "relay/runtimes/workers.ts";
const countingPath = "tests/edge/counting-object.ts";
const root = join(import.meta.dir, "../..");

function plainModules(script: string): Module[] {
  return [{ type: "ESModule", path: bundlePath, contents: script }];
}

async function countedModules(script: string): Promise<Module[]> {
  const source = await Bun.file(join(root, countingPath)).text();
  const contents = new Bun.Transpiler({ loader: "ts" }).transformSync(source);
  return [{ type: "ESModule", path: countingPath, contents }, ...plainModules(script)];
}

function objectsToBind(): Record<string, { className: string; useSQLite: boolean }> {
  const { durable_objects, migrations } = wranglerToml();
  const sqlite = new Set(migrations.flatMap((migration) => migration.new_sqlite_classes));
  return Object.fromEntries(
    durable_objects.bindings.map(({ name, class_name: className }) => [
      name,
      { className, useSQLite: sqlite.has(className) },
    ]),
  );
}
