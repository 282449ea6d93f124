import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as bunSockets from "../../shared/runtimes/bun-sockets.ts";
import * as nodeSockets from "../../shared/runtimes/node-sockets.ts";
import { socketCases } from "./socket-cases.ts";

const folder = mkdtempSync(join(tmpdir(), "underpass-socket-"));
const certPath = join(folder, "cert.pem");
const keyPath = join(folder, "key.pem");
const unixEcho = join(folder, "echo.sock");
const root = join(import.meta.dir, "../..");
let echo: { stop(force?: boolean): void } | undefined;

beforeAll(() => {
  const made = Bun.spawnSync(
    `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tunnel.test
     -addext subjectAltName=DNS:tunnel.test -keyout ${keyPath} -out ${certPath}`.split(/\s+/),
  );
  expect(made.exitCode, made.stderr.toString()).toBe(0);
  echo = Bun.listen({ unix: unixEcho, socket: { data: (raw, bytes) => void raw.write(bytes) } });
});

afterAll(() => {
  echo?.stop(true);
  rmSync(folder, { recursive: true });
});

for (const [name, sockets] of [
  ["bun-sockets on Bun", bunSockets],
  ["node-sockets on Bun", nodeSockets],
] as const) {
  describe(name, () => {
    for (const { name, run } of socketCases) {
      test(
        name,
        () =>
          run({
            dial: sockets.dial,
            listen: sockets.listen,
            cert: readFileSync(certPath, "utf8"),
            key: readFileSync(keyPath, "utf8"),
            unixEcho,
          }),
        10_000,
      );
    }
  });
}

describe("node-sockets on Deno", () => {
  let results: Record<string, string> = {};
  beforeAll(async () => {
    const script = join(import.meta.dir, "socket-deno.ts");
    const deno = join(root, "node_modules/.bin/deno");
    const run = Bun.spawn([deno, "run", "-A", "--no-check", script, certPath, keyPath, unixEcho], {
      cwd: root,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
    expect(await run.exited, err).toBe(0);
    results = JSON.parse(out);
  }, 60_000);
  for (const { name, skipOnDeno } of socketCases) {
    test.skipIf(skipOnDeno !== undefined)(skipOnDeno ? `${name} (${skipOnDeno})` : name, () =>
      expect(results[name]).toBe(""),
    );
  }
});
