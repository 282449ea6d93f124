import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { gzipSync } from "node:zlib";
import { visit } from "../blackbox/raw/visitor.ts";
import { record } from "./figures.ts";
import { Workerd } from "./workerd.ts";
import { bundleWorkers, type WorkersBundle } from "./workers-bundle.ts";
import { wranglerToml } from "./wrangler-toml.ts";

const setUpLimitMs = 30_000;
/** Of the 3 MiB that a free account may deploy; a jump means that something got in which has no business there. */
const maxCompressedKib = 160;
const secret = "a secret of more than thirty-two bytes";

describe("wrangler deploy --dry-run, with wrangler.toml as it stands", () => {
  const calls: string[] = [];
  const proxy = createServer((socket) => {
    socket.once("data", (bytes) => {
      calls.push(bytes.toString("latin1"));
      socket.destroy();
    });
  });
  let plain: WorkersBundle;
  let minified: WorkersBundle;

  beforeAll(async () => {
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const address = proxy.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const environment = { HTTP_PROXY: `http://127.0.0.1:${port}`, HTTPS_PROXY: `http://127.0.0.1:${port}` };
    [plain, minified] = await Promise.all([bundleWorkers(), bundleWorkers({ minify: true, environment })]);
  }, setUpLimitMs);
  afterAll(() => void proxy.close());

  test("is content, binds the objects to their classes, and asks nobody outside", () => {
    expect(plain.printed).toMatch(/env\.TUNNELS \(TunnelObject\)\s+Durable Object/);
    expect(plain.printed).not.toMatch(/warning|error|deprecated/i);
    expect(plain.printed).toContain("--dry-run: exiting now.");
    expect(calls).toEqual([]);
  });

  test("makes the classes with a migration that gives their objects SQLite, as their storage needs", () => {
    const { durable_objects, migrations } = wranglerToml();
    const classes = ["TunnelObject", "OwnerObject"];
    expect(durable_objects.bindings).toEqual([
      { name: "TUNNELS", class_name: "TunnelObject" },
      { name: "OWNERS", class_name: "OwnerObject" },
    ]);
    expect(migrations.flatMap(({ new_sqlite_classes }) => new_sqlite_classes)).toEqual(classes);
    expect(reader.scan(plain.script).exports.sort()).toEqual([...classes, "default"].sort());
  });

  test("has nothing of Node, Bun or Deno in the bundle", () => {
    expect(foreign(plain.script)).toEqual([]);
  });

  test("and that would be found", () => {
    const found = (source: string) => foreign(`import { DurableObject } from "cloudflare:workers";${source}`);
    expect(found(`import { join } from "node:path"; join();`)).toEqual(["node:path"]);
    expect(found(`export const load = () => import("node:fs");`)).toEqual(["node:fs"]);
    expect(found(`export const path = require("path");`)).toEqual(["path", "require"]);
    expect(found("if (typeof process !== 'undefined') process.exit();")).toEqual(["process"]);
    expect(
      found("export const bytes = globalThis.Buffer.from('a'), version = Bun.version, name = Deno.args;"),
    ).toEqual(["Bun", "Deno", "Buffer"]);
    // A name of one's own is none of the platform's.
    expect(found("export const own = (process) => process.exit({ Buffer: 1 }.Buffer);")).toEqual([]);
  });

  test("stays small", () => {
    const kib = {
      plain: inKib(plain.script.length),
      minified: inKib(minified.script.length),
      compressed: inKib(gzipSync(plain.script).length),
    };
    record("bundleKiB", kib);
    console.log(`bundle: ${JSON.stringify(kib)} KiB`);
    expect(kib.compressed).toBeLessThan(maxCompressedKib);
  });

  test("starts in workerd, which finds no fault with date and flags, and takes a visitor", async () => {
    const workerd = await Workerd.start({
      variables: { UNDERPASS_DOMAIN: "localhost", UNDERPASS_SECRET: secret },
    });
    try {
      const health = await visit({ port: workerd.port, host: "127.0.0.1" }, "/healthz");
      expect(health.status).toBe(200);
      // A flag that the date has turned on already: Cloudflare refuses to take it.
      expect(workerd.output.text).not.toContain("compatibility flag");
      const nobody = await visit({ port: workerd.port, host: "blue.localhost" });
      expect([nobody.status, nobody.head.field("underpass-error")]).toEqual([404, "unknown-tunnel"]);
    } finally {
      await workerd.stop();
    }
  });
});

const reader = new Bun.Transpiler({ loader: "js" });
const platformModules = ["cloudflare:workers", "cloudflare:sockets"];
const foreignNames = ["Bun", "Deno", "process", "Buffer", "require"];

/**
 * What a module imports beside Cloudflare's own, and the names of other platforms that it uses as globals: a
 * transpiler's `define` takes the place of free names only, never of a local one or of a property.
 */
function foreign(script: string): string[] {
  const define = Object.fromEntries(
    foreignNames.flatMap((name) => [name, `globalThis.${name}`].map((path) => [path, `foreign$${name}`])),
  );
  const transpiler = new Bun.Transpiler({ loader: "js", define, deadCodeElimination: false });
  const imports = reader.scanImports(script).map(({ path }) => path);
  const marked = transpiler.transformSync(script);
  return [
    ...imports.filter((path) => !platformModules.includes(path)),
    ...foreignNames.filter((name) => marked.includes(`foreign$${name}`)),
  ];
}

function inKib(bytes: number): number {
  return Number((bytes / 1024).toFixed(1));
}
