import { describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { startExpress } from "./origins/express.ts";
import { startNginx } from "./origins/nginx.ts";
import { startHttpServer, startSingleThreaded } from "./origins/python.ts";
import { startVite } from "./origins/vite.ts";
import { installed } from "./programs/installed.ts";
import { startTunnel, type Tunnel } from "./programs/tunnel.ts";
import { type Target, Visitor, visit } from "./raw/visitor.ts";

const testLimitMs = 90_000;
const visitorsAtOnce = 20;
const fileBytes = 64 * 1024 * 1024;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** What a test needs and this machine lacks is no fault of the tunnel. */
const withNginx = test.skipIf(!installed("nginx", "/usr/sbin/nginx"));
const withPython = test.skipIf(!installed("python3"));
const browser = installed("chromium", "chromium-browser", "google-chrome");
const withBrowser = test.skipIf(!browser);

async function through(origin: { port: number }, run: (tunnel: Tunnel) => Promise<void>): Promise<void> {
  const tunnel = await startTunnel({ origin: origin.port });
  try {
    await run(tunnel);
  } finally {
    await tunnel.close();
  }
}

/** Each visitor has its own connection and keeps it open until all have their answer. */
async function allAtOnce(target: Target, path: (i: number) => string): Promise<string[]> {
  const visitors = await Promise.all(Array.from({ length: visitorsAtOnce }, () => Visitor.connect(target)));
  const texts = await Promise.all(
    visitors.map(async (visitor, i) => {
      await visitor.send(`GET ${path(i)} HTTP/1.1\r\nHost: HOST\r\n\r\n`);
      const { status, body } = await visitor.answer();
      return `${status} ${await body.text()}`;
    }),
  );
  for (const visitor of visitors) visitor.close();
  return texts;
}

describe("nginx", () => {
  withNginx(
    "64 MiB down, a range of it, and 64 MiB up have the same bytes",
    async () => {
      const nginx = await startNginx();
      const file = randomBytes(fileBytes);
      await writeFile(join(nginx.root, "file"), file);
      try {
        await through(nginx, async ({ target }) => {
          using visitor = await Visitor.connect(target);
          await visitor.send("GET /file HTTP/1.1\r\nHost: HOST\r\n\r\n");
          expect(await (await visitor.answer()).body.sha256()).toEqual({
            bytes: fileBytes,
            sha256: sha256(file),
          });
          await visitor.send("GET /file HTTP/1.1\r\nHost: HOST\r\nRange: bytes=1000-1999\r\n\r\n");
          const range = await visitor.answer();
          expect([range.status, range.head.field("content-range")]).toEqual([
            206,
            `bytes 1000-1999/${fileBytes}`,
          ]);
          expect((await range.body.sha256()).sha256).toBe(sha256(file.subarray(1000, 2000)));
          await visitor.send(`PUT /put/up HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${fileBytes}\r\n\r\n`);
          await visitor.wire.send(file);
          const put = await visitor.answer();
          expect(put.status).toBe(201);
          await put.body.text();
          expect(sha256(await readFile(join(nginx.root, "put/up")))).toBe(sha256(file));
          const cut = await visit(target, "/file", [`If-None-Match: ${range.head.field("etag")}`]);
          expect([cut.status, cut.text]).toEqual([304, ""]);
          expect((await visit(target, "/shout")).head.fields).toContainEqual(["X-Case", "YES"]);
        });
      } finally {
        await nginx.stop();
      }
    },
    testLimitMs,
  );
});

describe("Python", () => {
  withPython(
    "http.server: 20 visitors at once all get their file",
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "underpass-python-"));
      for (let i = 0; i < visitorsAtOnce; i++) await writeFile(join(folder, `${i}.txt`), `file ${i}`);
      const origin = await startHttpServer(folder);
      try {
        await through(origin, async ({ target }) => {
          const texts = await allAtOnce(target, (i) => `/${i}.txt`);
          expect(texts).toEqual(Array.from({ length: visitorsAtOnce }, (_, i) => `200 file ${i}`));
          expect((await visit(target, "/")).text).toContain("0.txt");
        });
      } finally {
        await origin.stop();
        await rm(folder, { recursive: true, force: true });
      }
    },
    testLimitMs,
  );

  withPython(
    "a single-threaded WSGI server: of 20 visitors at once none waits on an idle connection",
    async () => {
      const origin = await startSingleThreaded();
      try {
        await through(origin, async ({ target }) => {
          for (let round = 0; round < 3; round++) {
            const texts = await allAtOnce(target, (i) => `/${round}-${i}`);
            expect(texts).toEqual(
              Array.from({ length: visitorsAtOnce }, (_, i) => `200 GET /${round}-${i} 0`),
            );
            expect((await visit(target, "/one")).text).toBe("GET /one 0");
          }
        });
      } finally {
        await origin.stop();
      }
    },
    testLimitMs,
  );
});

test(
  "Bun.serve: fetch through the tunnel, streams and a FormData upload",
  async () => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        if (request.method === "POST") {
          const file = (await request.formData()).get("file");
          return Response.json({ size: file instanceof Blob ? file.size : -1 });
        }
        return new Response(new Blob(["a", "b", "c"]).stream(), {
          headers: { "X-Url": new URL(request.url).pathname },
        });
      },
    });
    try {
      await through({ port: Number(server.port) }, async ({ target }) => {
        const url = `http://127.0.0.1:${target.port}/some/path`;
        const headers = { Host: target.host };
        const answer = await fetch(url, { headers });
        expect([await answer.text(), answer.headers.get("x-url")]).toEqual(["abc", "/some/path"]);
        const form = new FormData();
        form.set("file", new Blob([new Uint8Array(300_000)]));
        expect(await (await fetch(url, { method: "POST", body: form, headers })).json()).toEqual({
          size: 300_000,
        });
      });
    } finally {
      await server.stop(true);
    }
  },
  testLimitMs,
);

test(
  "Express: JSON, a redirect, two cookies, a stream, an upload and 20 visitors at once",
  async () => {
    const origin = await startExpress();
    try {
      await through(origin, async ({ target }) => {
        expect(JSON.parse((await visit(target, "/json")).text)).toEqual({ hello: "world" });
        expect((await visit(target, "/move")).head.field("location")).toBe("/json");
        expect((await visit(target, "/cookies")).head.all("set-cookie")).toEqual([
          "a=1; Path=/",
          "b=2; Path=/",
        ]);
        expect((await visit(target, "/stream")).text).toBe("one,two,three");
        const url = `http://127.0.0.1:${target.port}/length`;
        const sent = await fetch(url, {
          method: "POST",
          body: new Uint8Array(5_000_000),
          headers: { Host: target.host },
        });
        expect(await sent.text()).toBe("5000000");
        expect(new Set(await allAtOnce(target, () => "/json"))).toEqual(new Set(['200 {"hello":"world"}']));
      });
    } finally {
      await origin.close();
    }
  },
  testLimitMs,
);

withBrowser(
  "Vite in Chromium: the page, its assets and a hot update come through the tunnel",
  async () => {
    const vite = await startVite();
    const tunnel = await startTunnel({
      origin: vite.port,
      relay: { domain: "tunnel.test" },
      agentArgs: ["--host-header", "origin"],
    });
    const chrome = await chromium.launch({
      executablePath: browser ?? "",
      args: ["--no-sandbox", "--host-resolver-rules=MAP *.tunnel.test 127.0.0.1"],
    });
    try {
      const page = await chrome.newPage();
      const complaints: string[] = [];
      page.on("pageerror", (error) => complaints.push(String(error)));
      page.on("requestfailed", (request) =>
        complaints.push(`${request.url()}: ${request.failure()?.errorText}`),
      );
      const connected = page.waitForEvent("console", (message) =>
        message.text().includes("[vite] connected"),
      );
      await page.goto(`http://${tunnel.target.host}/`);
      await page.waitForFunction(() => document.querySelector("#word")?.textContent === "first");
      await page.waitForFunction(
        () => getComputedStyle(document.querySelector("#word") as Element).color === "rgb(1, 2, 3)",
      );
      await page.waitForFunction(
        () => (document.querySelector("#image") as HTMLImageElement).naturalWidth === 7,
      );
      await connected;
      const loadedAt = await page.evaluate("loadedAt");
      await vite.say("second");
      await page.waitForFunction(() => document.querySelector("#word")?.textContent === "second");
      // An update, not a reload of the page.
      expect(await page.evaluate("loadedAt")).toBe(loadedAt);
      expect(complaints).toEqual([]);
    } finally {
      await chrome.close();
      await tunnel.close();
      await vite.stop();
    }
  },
  testLimitMs,
);

withBrowser(
  "Vite without --host-header origin: the visitor is refused by Vite, and the agent says how to go on",
  async () => {
    const vite = await startVite();
    const tunnel = await startTunnel({ origin: vite.port, relay: { domain: "tunnel.test" } });
    try {
      expect((await visit(tunnel.target)).status).toBe(403);
      await visit(tunnel.target);
      await tunnel.agent.output((stdout, stderr) => `${stdout}${stderr}`.includes("--host-header origin"));
    } finally {
      await tunnel.close();
      await vite.stop();
    }
  },
  testLimitMs,
);
