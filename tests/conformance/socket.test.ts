import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as bunSockets from "../../shared/runtimes/bun-sockets.ts";
import * as nodeSockets from "../../shared/runtimes/node-sockets.ts";
import { denoResults } from "./deno-results.ts";
import type { SocketCase } from "./socket-case.ts";
import { socketCases } from "./socket-cases.ts";
import { tlsAfter } from "./tls-after.ts";

const folder = mkdtempSync(join(tmpdir(), "underpass-socket-"));
const certPath = join(folder, "cert.pem");
const keyPath = join(folder, "key.pem");
const unixEcho = join(folder, "echo.sock");
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

const titled = ({ name }: SocketCase, skip: string | undefined): string =>
  skip === undefined ? name : `${name} (${skip})`;

const tlsCases = socketCases.filter(({ name }) => name.includes("TLS"));

for (const [name, sockets, cases] of [
  ["bun-sockets on Bun", bunSockets, socketCases],
  ["bun-sockets on Bun, with TLS begun later", { ...bunSockets, dial: tlsAfter(bunSockets) }, tlsCases],
  ["node-sockets on Bun", nodeSockets, socketCases],
  ["node-sockets on Bun, with TLS begun later", { ...nodeSockets, dial: tlsAfter(nodeSockets) }, tlsCases],
] as const) {
  describe(name, () => {
    for (const socketCase of cases) {
      const { run, skipOnNode } = socketCase;
      const skip = sockets.listen === nodeSockets.listen ? skipOnNode : undefined;
      test.skipIf(skip !== undefined)(
        titled(socketCase, skip),
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
    results = await denoResults(join(import.meta.dir, "socket-deno.ts"), certPath, keyPath, unixEcho);
  }, 60_000);
  for (const socketCase of socketCases) {
    const skip = socketCase.skipOnDeno ?? socketCase.skipOnNode;
    test.skipIf(skip !== undefined)(titled(socketCase, skip), () =>
      expect(results[socketCase.name]).toBe(""),
    );
    if (skip === undefined && tlsCases.includes(socketCase)) {
      const name = `${socketCase.name}, with TLS begun later`;
      test(name, () => expect(results[name]).toBe(""));
    }
  }
});
