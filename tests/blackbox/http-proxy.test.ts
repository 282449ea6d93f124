import { afterEach, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { ConnectProxy } from "../agent/connect-proxy.ts";
import { makeCertificate } from "./origins/tls.ts";
import { agentProgram } from "./programs/agent.ts";
import { installed } from "./programs/installed.ts";
import type { Program } from "./programs/program.ts";
import { relayRuntime, startRelay } from "./programs/relay.ts";
import { answerOk, RawOrigin } from "./raw/origin.ts";

// The relay is known as relay.example, which only the proxy of these tests takes for this machine.
const testLimitMs = 60_000;
const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const run of cleanup.splice(0).reverse()) await run();
});

async function place(certificate?: { readonly key: string; readonly cert: string }) {
  const origin = await RawOrigin.listen(answerOk);
  const args = certificate ? ["--tls-cert", certificate.cert, "--tls-key", certificate.key] : [];
  const relay = await startRelay({ domain: "relay.example", args });
  cleanup.push(
    () => origin.close(),
    () => relay.kill(),
  );
  const token = await relay.token();
  const scheme = certificate ? "https" : "http";
  const agent = (environment: Record<string, string>, ...more: string[]): Program => {
    const url = `${scheme}://relay.example:${relay.port}`;
    const program = agentProgram(
      ["http", String(origin.port), "--relay", url, "--name", "blue", "--json", "--insecure", ...more],
      { env: { UNDERPASS_TOKEN: token, NO_PROXY: "", no_proxy: "", ...environment } },
    );
    cleanup.push(() => program.kill());
    return program;
  };
  const visit = async (): Promise<string> => {
    const answer = await fetch(`${scheme}://127.0.0.1:${relay.port}/`, {
      headers: { host: `blue.relay.example:${relay.port}` },
      ...(certificate && { tls: { rejectUnauthorized: false } }),
    });
    return await answer.text();
  };
  return { relay, agent, visit };
}

describe.skipIf(relayRuntime === "workerd")("an agent behind an HTTP proxy", () => {
  test.each(["ws", "sse"])(
    "reaches its relay by CONNECT with --transport %s",
    async (transport) => {
      await using proxy = await ConnectProxy.listen({ kind: "open", login: "Basic YWRhOnNlY3JldA==" });
      const { relay, agent, visit } = await place();
      const program = agent(
        { HTTP_PROXY: `http://ada:secret@127.0.0.1:${proxy.port}` },
        "--transport",
        transport,
      );
      await program.event("ready");
      expect(await visit()).toBe("ok");
      expect(new Set(proxy.asked.map((head) => head.split("\r\n")[0]))).toEqual(
        new Set([`CONNECT relay.example:${relay.port} HTTP/1.1`]),
      );
      expect(program.stdout + program.stderr).not.toContain("secret");
    },
    testLimitMs,
  );

  test.skipIf(!installed("openssl"))(
    "speaks TLS with its relay through it, and trusts nobody else for that",
    async () => {
      await using proxy = await ConnectProxy.listen();
      const certificate = await makeCertificate("DNS:relay.example,DNS:localhost");
      cleanup.push(() => rm(certificate.folder, { recursive: true, force: true }));
      const { agent, visit } = await place(certificate);
      const environment = { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` };
      const stranger = agent(environment, "--no-reconnect");
      expect(await stranger.exit()).toBe(5);
      await agent({ ...environment, NODE_EXTRA_CA_CERTS: certificate.cert }).event("ready");
      expect(await visit()).toBe("ok");
    },
    testLimitMs,
  );

  test(
    "is told what the proxy wants, and of a variable that names none",
    async () => {
      await using proxy = await ConnectProxy.listen({ kind: "open", login: "Basic eA==" });
      const { agent } = await place();
      const refused = agent({ HTTP_PROXY: `http://127.0.0.1:${proxy.port}` }, "--no-reconnect");
      expect(await refused.exit()).toBe(5);
      expect(refused.stdout).toContain(
        `The proxy 127.0.0.1:${proxy.port} (HTTP_PROXY) wants a login (407): give HTTP_PROXY as http://USER:PASSWORD@HOST:PORT.`,
      );
      const wrong = agent({ HTTP_PROXY: "socks5://ada:secret@127.0.0.1:1080" });
      expect(await wrong.exit()).toBe(2);
      expect(wrong.stdout).toContain("HTTP_PROXY names a proxy that is spoken to in socks5.");
      expect(wrong.stdout + wrong.stderr).not.toContain("secret");
    },
    testLimitMs,
  );
});
