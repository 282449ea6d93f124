import { join } from "node:path";

const root = join(import.meta.dir, "../..");

/** The relay for Workers as one module, as `wrangler deploy` would make it. */
export async function bundleWorkers(options: { readonly minify?: boolean } = {}): Promise<string> {
  const built = await Bun.build({
    entrypoints: [join(root, "relay/runtimes/workers.ts")],
    target: "browser",
    format: "esm",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:workers"],
    minify: options.minify ?? false,
  });
  const [output] = built.outputs;
  if (!built.success || output === undefined) throw new Error(built.logs.map(String).join("\n"));
  return output.text();
}
