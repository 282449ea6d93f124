import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import dgram from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noAuth, Program as RawProgram, socksRequest } from "../agent/proxy-harness.ts";
import { UdpProgram, wrapped } from "../agent/proxy-udp-program.ts";
import { RawService } from "../origins/places.ts";
import { startTls } from "./origins/tls.ts";
import { agentProgram } from "./programs/agent.ts";
import { testExcept } from "./programs/except.ts";
import { installed } from "./programs/installed.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";

const testLimitMs = 60_000;
const curl = installed("curl");
const large = Buffer.alloc(50_000_000, "all of it, and in order ");
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("agent proxy, out at the relay", () => {
  let relay: Relay;
  let agent: Program;
  let tls: { port: number; close(): Promise<void> };
  let echo: dgram.Socket;
  let address = "";
  const origin = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) =>
      request.method === "GET" ? new Response(large) : new Response(sha256(await request.bytes())),
  });

  beforeAll(async () => {
    echo = dgram.createSocket("udp4");
    echo.on("message", (bytes, { port, address }) => echo.send(bytes, port, address));
    echo.bind(0, "127.0.0.1");
    await once(echo, "listening");
    tls = await startTls();
    relay = await startRelay();
    agent = agentProgram(["proxy", "--relay", relay.url, "--listen", "127.0.0.1:0", "--json"], {
      env: { UNDERPASS_TOKEN: await relay.token({ egress: ["127.0.0.1:*", "localhost:*"] }) },
    });
    address = new URL(String((await agent.event("ready"))["url"])).host;
  }, testLimitMs);

  afterAll(async () => {
    await agent?.stop();
    await relay?.stop();
    await tls?.close();
    echo?.close();
    await origin.stop(true);
  }, testLimitMs);

  const open = (): Promise<RawProgram> => RawProgram.open(Number(address.split(":")[1]));

  test(
    "without a grant it never listens: exit 4",
    async () => {
      const ungranted = agentProgram(["proxy", "--relay", relay.url, "--listen", "127.0.0.1:0", "--json"], {
        env: { UNDERPASS_TOKEN: await relay.token() },
      });
      expect(await ungranted.exit()).toBe(4);
      expect(ungranted.events.map(({ event }) => event)).not.toContain("ready");
      expect(ungranted.events).toContainEqual(
        expect.objectContaining({ event: "error", code: "egress-denied", fatal: true }),
      );
    },
    testLimitMs,
  );

  describe.skipIf(curl === undefined)("curl", () => {
    let folder = "";
    let file = "";

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "underpass-proxy-"));
      file = join(folder, "large");
      await writeFile(file, large);
    });

    afterAll(() => rm(folder, { recursive: true, force: true }));

    async function run(...args: readonly string[]): Promise<{ out: Buffer; exit: number }> {
      const child = Bun.spawn([curl ?? "", "-q", "-sS", "-k", "--max-time", "50", "--noproxy", "", ...args], {
        stdout: "pipe",
        stderr: "ignore",
        env: {},
      });
      const out = Buffer.from(await new Response(child.stdout).bytes());
      return { out, exit: await child.exited };
    }

    for (const [name, ...way] of [
      ["--socks5-hostname", "--socks5-hostname", "PROXY"],
      ["--socks5", "--socks5", "PROXY"],
      ["--socks4a", "--socks4a", "PROXY"],
      ["-x http://", "-x", "http://PROXY"],
      ["-x http:// with CONNECT", "-p", "-x", "http://PROXY"],
    ] as const) {
      const through = (...more: readonly string[]) =>
        run(...way.map((word) => word.replace("PROXY", address)), ...more);

      // What differs among them is the agent's.
      const isCase = relayRuntime !== "workerd" || ["--socks5-hostname", "-x http://"].includes(name);
      test.skipIf(!isCase)(
        `${name}: 50 MB down and up, https, and a port where nobody listens`,
        async () => {
          const url = `http://127.0.0.1:${origin.port}/`;
          const down = await through(url);
          expect([down.exit, down.out.equals(large)]).toEqual([0, true]);
          expect((await through("-T", file, url)).out.toString()).toBe(sha256(large));
          expect((await through(`https://localhost:${tls.port}/`)).out.toString()).toBe("by TLS");
          const absent = await through("-f", "http://127.0.0.1:1/");
          // An answer of the proxy, or a failure of SOCKS or CONNECT.
          expect([22, 56, 97]).toContain(absent.exit);
        },
        testLimitMs,
      );
    }
  });

  testExcept(
    { workerd: "the platform has no datagrams" },
    "UDP ASSOCIATE: datagrams of up to 60,000 bytes come back whole",
    async () => {
      await using program = await UdpProgram.open();
      const tcp = await open();
      tcp.write(noAuth, Uint8Array.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0));
      const reply = await tcp.take(12);
      const port = ((reply[10] ?? 0) << 8) | (reply[11] ?? 0);
      const target = echo.address().port;
      for (const size of [0, 1, 1_400, 60_000]) {
        const sent = wrapped("127.0.0.1", target, Buffer.alloc(size, "datagram"));
        await program.send(sent, port);
        expect((await program.next()).equals(sent)).toBe(true);
      }
      tcp.socket.end();
      await tcp.over();
      await agent.event(
        "stream",
        (event) => event["target"] === `127.0.0.1:${target}` && event["bytesOut"] === 61_401,
      );
    },
    testLimitMs,
  );

  test(
    "a half-close goes through to the origin, and its answer comes back",
    async () => {
      await using service = await RawService.listen((socket) => {
        let text = "";
        socket.on("data", (bytes) => {
          text += bytes;
        });
        socket.on("end", () => socket.end(`${text.length} bytes`));
      });
      for (const first of [
        Buffer.concat([noAuth, socksRequest("127.0.0.1", service.port)]),
        Buffer.from(`CONNECT 127.0.0.1:${service.port} HTTP/1.1\r\nHost: x\r\n\r\n`),
      ]) {
        const program = await open();
        program.write(first, Buffer.alloc(200_000, "x"));
        program.socket.end();
        await program.says("200000 bytes");
        await program.over();
        expect(program.reset).toBe(false);
      }
    },
    testLimitMs,
  );

  test(
    "a RST of the origin is one for the program",
    async () => {
      await using service = await RawService.listen((socket) =>
        socket.once("data", () => socket.resetAndDestroy()),
      );
      const program = await open();
      program.write(noAuth, socksRequest("127.0.0.1", service.port));
      await program.take(12);
      program.write("x");
      await program.until(() => program.closed);
      expect(program.reset).toBe(true);
    },
    testLimitMs,
  );

  test(
    "SIGTERM lets a download finish, and takes no more",
    async () => {
      const relayed = agentProgram(["proxy", "--relay", relay.url, "--listen", "127.0.0.1:0", "--json"], {
        env: { UNDERPASS_TOKEN: await relay.token({ egress: ["127.0.0.1:*"] }) },
      });
      const port = Number(new URL(String((await relayed.event("ready"))["url"])).port);
      let finish = (): void => {};
      await using service = await RawService.listen((socket) => {
        socket.write("first ");
        finish = () => socket.end("last");
        socket.resume();
      });
      const program = await RawProgram.open(port);
      program.write(noAuth, socksRequest("127.0.0.1", service.port));
      await program.says("first ");
      relayed.signal("SIGTERM");
      // It has stopped listening once a new socket is refused.
      for (let refused = false; !refused; ) {
        const late = await RawProgram.open(port).catch(() => undefined);
        refused = late === undefined;
        late?.socket.destroy();
      }
      finish();
      await program.says("last");
      program.socket.end();
      expect(await relayed.exit()).toBe(0);
      expect(program.reset).toBe(false);
    },
    testLimitMs,
  );
});
