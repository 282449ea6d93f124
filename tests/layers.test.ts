import { describe, expect, test } from "bun:test";
import { readSource, readSources, type Source } from "./sources.ts";

/** The rules of ARCHITECTURE.md: each says what in a file breaks it. */
interface Rule {
  readonly name: string;
  breaks(source: Source): readonly string[];
}

const sources = await readSources();

const inside = (path: string, ...folders: string[]): boolean =>
  folders.some((folder) => path.startsWith(`${folder}/`));
const isRuntime = (path: string): boolean => /(^|\/)runtimes\//.test(path);
/** Composition roots: they may open real handles, and so may what only serves development. */
const roots = ["relay.ts", "agent.ts", "agent/expose.ts", "agent/compose/embedded.ts"];
const isRoot = (path: string): boolean =>
  roots.includes(path) || isRuntime(path) || inside(path, "tests", "bench", "scripts", "examples");
const isPackage = (name: string): boolean => !/\.tsx?$/.test(name);

const platformImport = /^(node:|cloudflare:|bun$|bun:)/;
const platformName =
  /\b(Bun|Deno)\b|\bprocess\.(env|argv|exit|exitCode|stdout|stderr|stdin|on|once|pid|platform|cwd|memoryUsage|versions|execPath)\b|\bBuffer\./g;
const impure =
  /\b(Date|performance|setTimeout|setInterval|setImmediate|queueMicrotask|crypto|console|async|await|Promise)\b|\bMath\.random\b/g;

const found = (pattern: RegExp, code: string): string[] => [...code.matchAll(pattern)].map(([word]) => word);

const rules: readonly Rule[] = [
  {
    name: "the mux core imports nothing but itself and the table of codes",
    breaks: ({ path, imports }) =>
      inside(path, "shared/mux")
        ? imports.filter((name) => !inside(name, "shared/mux") && name !== "shared/errors.ts")
        : [],
  },
  {
    name: "the readers of HTTP/1.1 and RFC 6455 import nothing but themselves, the table of codes and pure hashes",
    breaks: ({ path, imports }) =>
      inside(path, "shared/http1", "shared/websocket", "shared/tls")
        ? imports.filter(
            (name) =>
              !inside(name, "shared/http1", "shared/websocket", "shared/tls") &&
              !/^(shared\/errors\.ts$|@noble\/hashes\/)/.test(name),
          )
        : [],
  },
  {
    name: "the mux core and the readers have no clock, timer, randomness, async or log",
    breaks: ({ path, code }) =>
      inside(path, "shared/mux", "shared/http1", "shared/websocket", "shared/tls") ? found(impure, code) : [],
  },
  {
    name: "shared/ imports neither side",
    breaks: ({ path, imports }) =>
      inside(path, "shared") ? imports.filter((name) => inside(name, "relay", "agent") || isEntry(name)) : [],
  },
  {
    name: "relay/ never imports agent/",
    breaks: ({ path, imports }) =>
      inside(path, "relay") || path === "relay.ts"
        ? imports.filter((name) => inside(name, "agent") || name === "agent.ts")
        : [],
  },
  {
    name: "agent/ never imports relay/, save for the embedded relay",
    breaks: ({ path, imports }) =>
      (inside(path, "agent") || path === "agent.ts") && path !== "agent/compose/embedded.ts"
        ? imports.filter((name) => inside(name, "relay") || name === "relay.ts")
        : [],
  },
  {
    name: "only composition roots import runtimes/",
    breaks: ({ path, imports }) => (isRoot(path) ? [] : imports.filter(isRuntime)),
  },
  {
    name: "only composition roots name a platform",
    breaks: ({ path, imports, code }) =>
      isRoot(path)
        ? []
        : [
            ...imports.filter((name) => isPackage(name) && platformImport.test(name)),
            ...found(platformName, code),
          ],
  },
  {
    name: "what ships imports nothing from tests, bench, scripts or examples",
    breaks: ({ path, imports }) =>
      inside(path, "relay", "agent", "shared") || isEntry(path)
        ? imports.filter((name) => inside(name, "tests", "bench", "scripts", "examples"))
        : [],
  },
  {
    name: "no file has more than 400 lines",
    breaks: ({ lines }) => (lines > 400 ? [`${lines} lines`] : []),
  },
  {
    name: "no file has a name that says nothing",
    breaks: ({ path }) =>
      /(^|\/)(utils?|helpers?|common|misc|types|manager)(\.|\/)/.test(path) ? [path] : [],
  },
];

function isEntry(path: string): boolean {
  return path === "relay.ts" || path === "agent.ts";
}

describe("the sources", () => {
  for (const rule of rules) {
    test(rule.name, () => {
      const broken = sources.flatMap((source) =>
        rule.breaks(source).map((what) => `${source.path}: ${what}`),
      );
      expect(broken).toEqual([]);
    });
  }

  test("are all read", () => {
    const paths = sources.map(({ path }) => path);
    expect(paths).toContain("shared/errors.ts");
    expect(paths).toContain("tests/layers.test.ts");
  });
});

describe("the rules", () => {
  const hits = (path: string, text: string): string[] =>
    rules.filter((rule) => rule.breaks(readSource(path, text)).length > 0).map(({ name }) => name);

  test.each([
    ["shared/mux/stream.ts", 'import type { Clock } from "../clock.ts";', 1],
    ["shared/mux/stream.ts", 'import { Hono } from "hono";', 1],
    ["shared/mux/stream.ts", "const now = Date.now();", 1],
    ["shared/mux/stream.ts", "const text = `$" + "{performance.now()} ms`;", 1],
    ["shared/mux/stream.ts", "export async function pump() {}", 1],
    ["shared/http1/head.ts", 'import type { Socket } from "../socket.ts";', 1],
    ["shared/driver.ts", 'import { Relay } from "../relay/relay.ts";', 1],
    ["relay/relay.ts", 'export * from "../agent/agent.ts";', 1],
    ["relay/relay.ts", 'import { listen } from "../shared/runtimes/bun-sockets.ts";', 1],
    ["relay/relay.ts", 'const fs = await import("node:fs");', 1],
    ["relay/relay.ts", "Bun.serve({});", 1],
    ["relay/relay.ts", "process.exit(1);", 1],
    ["agent/agent.ts", 'import { Relay } from "../relay/relay.ts";', 1],
    ["agent/agent.ts", 'import { origin } from "../tests/origin.ts";', 1],
    ["relay/common.ts", "", 1],
  ])("see what is wrong in %s: %s", (path, text, count) => {
    expect(hits(path, text)).toHaveLength(count);
  });

  test("see a file of 401 lines", () => {
    expect(hits("relay/long.ts", "\n".repeat(401))).toHaveLength(1);
    expect(hits("relay/long.ts", "\n".repeat(400))).toEqual([]);
  });

  test.each([
    ["shared/mux/stream.ts", 'import { codes } from "../errors.ts"; // Date, async, Bun'],
    ["shared/mux/stream.ts", 'const text = "await the Promise of Bun";'],
    ["shared/runtimes/bun-sockets.ts", 'import net from "node:net"; Bun.listen({});'],
    ["agent/compose/embedded.ts", 'import { Relay } from "../relay/relay.ts";'],
    ["agent.ts", 'import { cli } from "./agent/cli.ts"; process.exit(await cli());'],
    ["relay/app.ts", 'import { Hono } from "hono"; import { codes } from "../shared/errors.ts";'],
  ])("let pass what is right in %s: %s", (path, text) => {
    expect(hits(path, text)).toEqual([]);
  });
});
