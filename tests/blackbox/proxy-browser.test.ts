import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { type Browser, chromium } from "playwright-core";
import { startTls } from "./origins/tls.ts";
import { agentProgram } from "./programs/agent.ts";
import { installed } from "./programs/installed.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";

const testLimitMs = 90_000;
const browserPath = installed("chromium", "chromium-browser", "google-chrome");
const assets = 40;
const uploadBytes = 3_000_000;

/** A page whose script loads what a page may load, one thing of each kind and many of one. */
const page = `<!doctype html><title>behind the proxy</title><script>
const hex = async (bytes) =>
  [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
window.run = async () => {
  const parts = await Promise.all(
    Array.from({ length: ${assets} }, async (_, i) => (await fetch("/asset/" + i)).text()),
  );
  const body = new Uint8Array(${uploadBytes}).map((_, i) => i * 7);
  const upload = await (await fetch("/upload", { method: "POST", body })).text();
  const echo = await new Promise((resolve, reject) => {
    const socket = new WebSocket("ws://" + location.host + "/ws");
    socket.onopen = () => socket.send("over the proxy");
    socket.onmessage = ({ data }) => resolve(data);
    socket.onerror = () => reject(new Error("the WebSocket failed"));
  });
  return { parts: parts.join(), uploadRight: upload === (await hex(body)), echo };
};
</script>`;

// A relay on workerd has six sockets for a proxy: a browser wants more at once.
describe.skipIf(browserPath === undefined || relayRuntime === "workerd")(
  "Chromium with the agent as its proxy",
  () => {
    let relay: Relay;
    let agent: Program;
    let tls: { port: number; close(): Promise<void> };
    let address = "";
    const origin = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request, server) {
        const { pathname } = new URL(request.url);
        if (pathname === "/ws")
          return server.upgrade(request) ? undefined : new Response("no", { status: 400 });
        if (pathname === "/upload")
          return new Response(
            createHash("sha256")
              .update(await request.bytes())
              .digest("hex"),
          );
        if (pathname.startsWith("/asset/")) return new Response(pathname.slice(7));
        return new Response(page, { headers: { "Content-Type": "text/html" } });
      },
      websocket: { message: (socket, message) => void socket.send(message) },
    });

    beforeAll(async () => {
      relay = await startRelay();
      tls = await startTls();
      const egress = [`localhost:${origin.port}`, `localhost:${tls.port}`];
      agent = agentProgram(["proxy", "--relay", relay.url, "--listen", "127.0.0.1:0", "--json"], {
        env: { UNDERPASS_TOKEN: await relay.token({ egress }) },
      });
      address = new URL(String((await agent.event("ready"))["url"])).host;
    }, testLimitMs);

    afterAll(async () => {
      await agent?.stop();
      await relay?.stop();
      await tls?.close();
      await origin.stop(true);
    }, testLimitMs);

    /** Chromium goes past the proxy for loopback addresses, unless told. */
    function launch(scheme: string): Promise<Browser> {
      return chromium.launch({
        executablePath: browserPath ?? "",
        args: ["--no-sandbox"],
        proxy: { server: `${scheme}://${address}`, bypass: "<-loopback>" },
      });
    }

    const streamsTo = (port: number | undefined): number =>
      agent.events.filter(({ event, target }) => event === "stream" && target === `localhost:${port}`).length;

    for (const scheme of ["socks5", "http"]) {
      test(
        `${scheme}: a page, its assets, an upload, a WebSocket and a page by TLS`,
        async () => {
          const chrome = await launch(scheme);
          const before = [streamsTo(origin.port), streamsTo(tls.port)];
          try {
            const context = await chrome.newContext({ ignoreHTTPSErrors: true });
            const tab = await context.newPage();
            await tab.goto(`http://localhost:${origin.port}/`);
            expect(await tab.evaluate("run()")).toEqual({
              parts: Array.from({ length: assets }, (_, i) => i).join(),
              uploadRight: true,
              echo: "over the proxy",
            });
            await tab.goto(`https://localhost:${tls.port}/`);
            expect(await tab.textContent("body")).toBe("by TLS");
          } finally {
            await chrome.close();
          }
          // It came this way, and not past the proxy.
          await agent.output(
            () => streamsTo(origin.port) > (before[0] ?? 0) && streamsTo(tls.port) > (before[1] ?? 0),
          );
        },
        testLimitMs,
      );
    }

    test(
      "a page that no grant allows is an error over SOCKS, and says why over HTTP",
      async () => {
        const socks = await launch("socks5");
        try {
          const tab = await socks.newPage();
          await expect(tab.goto("http://10.1.2.3/")).rejects.toThrow("ERR_SOCKS_CONNECTION_FAILED");
        } finally {
          await socks.close();
        }
        const http = await launch("http");
        try {
          const tab = await http.newPage();
          const answer = await tab.goto("http://10.1.2.3/");
          expect(answer?.status()).toBe(403);
          expect(await tab.textContent("body")).toContain("403 egress-denied");
        } finally {
          await http.close();
        }
      },
      testLimitMs,
    );

    test(
      "a browser that opens the port itself reads what it is",
      async () => {
        const chrome = await chromium.launch({ executablePath: browserPath ?? "", args: ["--no-sandbox"] });
        try {
          const tab = await chrome.newPage();
          const answer = await tab.goto(`http://${address}/`);
          expect(answer?.status()).toBe(400);
          expect(await tab.textContent("body")).toContain("This port is a proxy");
        } finally {
          await chrome.close();
        }
      },
      testLimitMs,
    );
  },
);
