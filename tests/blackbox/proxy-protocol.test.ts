import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import tls from "node:tls";
import { type ProxiedEnds, writeProxyHeader } from "../../shared/proxy-protocol.ts";
import { nginxPath, startNginxServers } from "./origins/nginx-servers.ts";
import { makeCertificate } from "./origins/tls.ts";
import { agentProgram } from "./programs/agent.ts";
import { freePort } from "./programs/free-port.ts";
import { installed } from "./programs/installed.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";

const testLimitMs = 60_000;
const versions = ["v1", "v2"] as const;
const get = "GET / HTTP/1.1\r\nHost: blue\r\nConnection: close\r\n\r\n";

/** Two servers that know who called by the header alone, and say so: one in the clear, one in TLS. */
const servers = (plain: number, secure: number, { cert, key }: { cert: string; key: string }) => {
  const say =
    'return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port $remote_addr";';
  return `
server { listen 127.0.0.1:${plain} proxy_protocol; ${say} }
server { listen 127.0.0.1:${secure} ssl proxy_protocol; ssl_certificate ${cert}; ssl_certificate_key ${key}; ${say} }`;
};

/** The body of the answer to what is said on a socket that is open, split in words; and the port it was said from. */
async function ask(socket: Socket, words: Uint8Array | string): Promise<string[]> {
  let text = "";
  socket.on("data", (bytes) => (text += bytes.toString()));
  const over = new Promise<void>((resolve, reject) => socket.on("close", resolve).on("error", reject));
  socket.write(words);
  await over;
  return text.slice(text.indexOf("\r\n\r\n") + 4).split(" ");
}

describe.skipIf(nginxPath() === undefined || installed("openssl") === undefined)("nginx", () => {
  let plain = 0;
  let secure = 0;
  let end = async () => {};

  beforeAll(async () => {
    const certificate = await makeCertificate();
    [plain, secure] = [await freePort(), await freePort()];
    const stop = await startNginxServers(servers(plain, secure, certificate));
    end = async () => {
      await stop();
      await rm(certificate.folder, { recursive: true, force: true });
    };
  }, testLimitMs);
  afterAll(() => end());

  test.each(versions)("reads what is written, version %s", async (version) => {
    const told = (ends: ProxiedEnds) =>
      ask(connect(plain, "127.0.0.1"), Buffer.concat([writeProxyHeader(version, ends), Buffer.from(get)]));
    expect(await told({ visitor: "203.0.113.9:4711", local: "198.51.100.1:443" })).toEqual([
      ...["203.0.113.9", "4711", "198.51.100.1", "443", "127.0.0.1"],
    ]);
    expect(await told({ visitor: "[2001:db8::9]:4711", local: "[2001:db8::1]:443" })).toEqual([
      ...["2001:db8::9", "4711", "2001:db8::1", "443", "127.0.0.1"],
    ]);
    // How it spells a mapped address differs by version.
    const mixed = await told({ visitor: "203.0.113.9:4711", local: "[2001:db8::1]:443" });
    expect(["::ffff:203.0.113.9", "::ffff:cb00:7109"]).toContain(mixed[0] ?? "");
    expect(mixed.slice(1, 4)).toEqual(["4711", "2001:db8::1", "443"]);
    expect((await told({})).at(-1)).toBe("127.0.0.1");
  });

  describe.skipIf(relayRuntime === "workerd")("behind a tunnel", () => {
    let relay: Relay;
    let token = "";
    let tlsPort = 0;
    beforeAll(async () => {
      const tcpPort = await freePort();
      tlsPort = await freePort();
      relay = await startRelay({
        args: ["--tcp-ports", `${tcpPort}-${tcpPort}`, "--tls-listen", `127.0.0.1:${tlsPort}`],
      });
      token = await relay.token();
    }, testLimitMs);
    afterAll(() => relay?.kill());

    /** The public port of a tunnel to nginx, for as long as `run` takes. */
    async function withTunnel(
      kind: "tcp" | "tls",
      version: string,
      run: (port: number) => Promise<void>,
    ): Promise<void> {
      const port = String(kind === "tcp" ? plain : secure);
      const agent = agentProgram(
        [kind, port, "--relay", relay.url, "--name", `for-${kind}`, "--proxy-protocol", version, "--json"],
        { env: { UNDERPASS_TOKEN: token } },
      );
      try {
        const { url } = await agent.event("ready");
        await run(Number(new URL(String(url)).port));
      } finally {
        await agent.stop();
      }
    }

    test.each(versions)(
      "of kind tcp is told who the visitor is, version %s",
      async (version) => {
        await withTunnel("tcp", version, async (port) => {
          const socket = connect(port, "127.0.0.1");
          await new Promise<void>((resolve) => socket.on("connect", resolve));
          const own = String(socket.localPort);
          expect((await ask(socket, get)).slice(0, 4)).toEqual(["127.0.0.1", own, "127.0.0.1", String(port)]);
        });
      },
      testLimitMs,
    );

    test.each(versions)(
      "of kind tls is told so before the visitor's own handshake, version %s",
      async (version) => {
        await withTunnel("tls", version, async (port) => {
          expect(port).toBe(tlsPort);
          const host = {
            host: "127.0.0.1",
            port,
            servername: "for-tls.localhost",
            rejectUnauthorized: false,
          };
          const socket = tls.connect(host);
          await new Promise<void>((resolve, reject) =>
            socket.on("secureConnect", resolve).on("error", reject),
          );
          const own = String(socket.localPort);
          expect((await ask(socket, get)).slice(0, 4)).toEqual(["127.0.0.1", own, "127.0.0.1", String(port)]);
        });
      },
      testLimitMs,
    );
  });
});
