import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { relayMetrics } from "../faults/relay-metrics.ts";
import { Authority, type Certificate } from "./origins/authority.ts";
import { GrpcVisitor, startGrpcEcho } from "./origins/grpc-echo.ts";
import { nginxPath, startNginxServers } from "./origins/nginx-servers.ts";
import { agentProgram } from "./programs/agent.ts";
import { freePort } from "./programs/free-port.ts";
import { installed } from "./programs/installed.ts";
import { Program } from "./programs/program.ts";
import { type Relay, relayRuntime, startRelay } from "./programs/relay.ts";
import { within } from "./programs/within.ts";

const testLimitMs = 60_000;
const mebibyte = 1_048_576;
const curl = installed("curl");
const openssl = installed("openssl");
const isHere = curl !== undefined && openssl !== undefined && nginxPath() !== undefined;

/** Who answered, in what protocol, under which name he was asked, and who asked, as nginx understood it. */
const say = 'return 200 "$server_name $server_protocol $ssl_server_name $ssl_client_verify $ssl_client_s_dn"';

// A relay on workerd has no port of TLS.
describe.skipIf(!isHere || relayRuntime === "workerd")("tls tunnels on one port", () => {
  let authority: Authority;
  let visitorOwn: Certificate;
  let folder = "";
  let relay: Relay;
  let tlsPort = 0;
  /** Of the origins. */
  let ports = { blue: 0, green: 0 };
  let token = "";
  const agents: Program[] = [];
  const ends: (() => unknown)[] = [];
  const content = randomBytes(16 * mebibyte);
  const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

  async function startAgent(name: string, port: number): Promise<Program> {
    const agent = agentProgram(["tls", String(port), "--relay", relay.url, "--name", name, "--json"], {
      env: { UNDERPASS_TOKEN: token },
    });
    agents.push(agent);
    expect(await agent.event("ready")).toMatchObject({
      ...{ name, kind: "tls", url: `tls://${name}.localhost:${tlsPort}` },
    });
    return agent;
  }

  /** curl as a visitor who takes the relay's port for port 443 of all names. */
  function startVisit(...args: readonly string[]): Program {
    return new Program([
      ...[
        curl ?? "",
        "--silent",
        "--show-error",
        "--no-progress-meter",
        "--http2",
        "--cacert",
        authority.own.cert,
      ],
      ...["--connect-to", `::127.0.0.1:${tlsPort}`, ...args],
    ]);
  }

  async function visit(...args: readonly string[]): Promise<Program> {
    const program = startVisit(...args);
    await program.exit();
    return program;
  }

  /** Nothing tells when the relay has got so far but its counts. */
  async function untilGauge(name: string, value: number): Promise<void> {
    const wait = async () => {
      while ((await relayMetrics(relay))[name] !== value) await Bun.sleep(20);
    };
    await within(wait(), testLimitMs / 2, () => `${name} to be ${value}`);
  }

  beforeAll(async () => {
    authority = await Authority.make();
    folder = await mkdtemp(join(tmpdir(), "underpass-tls-tunnel-"));
    visitorOwn = await authority.issue("alice");
    await writeFile(join(folder, "large"), content);
    const names = ["blue", "green"] as const;
    ports = { blue: await freePort(), green: await freePort() };
    const servers: string[] = [];
    for (const name of names) {
      const { cert, key } = await authority.issue(name, { dns: `${name}.localhost` });
      servers.push(`server { listen 127.0.0.1:${ports[name]} ssl http2; server_name ${name};
        ssl_certificate ${cert}; ssl_certificate_key ${key};
        ssl_client_certificate ${authority.own.cert}; ssl_verify_client optional; client_max_body_size 0;
        location / { ${say}; } location /large { root ${folder}; } location /put/ { root ${folder}; dav_methods PUT; create_full_put_path on; }
      }`);
    }
    ends.push(await startNginxServers(servers.join("\n")));
    tlsPort = await freePort();
    relay = await startRelay({ args: ["--tls-listen", `127.0.0.1:${tlsPort}`] });
    token = await relay.token();
    for (const name of names) await startAgent(name, ports[name]);
  }, testLimitMs);
  afterAll(async () => {
    for (const agent of agents) await agent.kill();
    await relay?.kill();
    for (const end of ends) await end();
    await authority?.remove();
    await rm(folder, { recursive: true, force: true });
  });

  test("are told apart by name, and speak HTTP/2 with their own certificates", async () => {
    for (const name of ["blue", "green"]) {
      const { stdout, stderr } = await visit(`https://${name}.localhost/`);
      expect([stdout, stderr]).toEqual([`${name} HTTP/2.0 ${name}.localhost NONE `, ""]);
    }
    // The certificate is the origin's: under another name it is not taken.
    const wrong = await visit(
      "--resolve",
      `green.localhost:${tlsPort}:127.0.0.1`,
      "https://green.localhost/",
    );
    expect(wrong.stdout).toStartWith("green HTTP/2.0");
  });

  test("carry a visitor's certificate to the origin", async () => {
    const { stdout } = await visit(
      "--cert",
      visitorOwn.cert,
      "--key",
      visitorOwn.key,
      "https://blue.localhost/",
    );
    expect(stdout).toBe("blue HTTP/2.0 blue.localhost SUCCESS CN=alice");
  });

  test(
    "carry large bodies both ways, several at once on one socket",
    async () => {
      const file = join(folder, "large");
      const up = await visit("--upload-file", file, "https://green.localhost/put/up");
      expect([up.stderr, await Bun.file(join(folder, "put/up")).bytes().then(hash)]).toEqual([
        "",
        hash(content),
      ]);
      const copies = [1, 2, 3, 4].map((copy) => join(folder, `copy-${copy}`));
      const urls = copies.flatMap((copy) => ["--output", copy, "https://blue.localhost/large"]);
      const down = await visit("--parallel", ...urls);
      expect(await down.exited).toBe(0);
      for (const copy of copies) expect(await Bun.file(copy).bytes().then(hash)).toBe(hash(content));
      // All four on one socket, so it was one stream.
      const [blue] = agents;
      const ended = await blue?.event("stream", ({ bytesOut }) => Number(bytesOut) > content.length);
      expect(Number(ended?.["bytesOut"])).toBeGreaterThan(4 * content.length);
    },
    testLimitMs,
  );

  test("with a name that nobody has, or none, are a TLS alert", async () => {
    for (const url of ["https://nobody.localhost/", "https://blue.example.org/"]) {
      const { stderr } = await visit(url);
      expect(stderr).toContain("unrecognized name");
    }
    const nameless = new Program([
      openssl ?? "",
      "s_client",
      "-noservername",
      "-connect",
      `127.0.0.1:${tlsPort}`,
    ]);
    await nameless.exit();
    expect(nameless.stderr).toContain("SSL alert number 112");
    const plain = await visit("--http1.1", `http://127.0.0.1:${tlsPort}/`);
    expect(plain.stderr).toContain("Empty reply");
  });

  test(
    "whose agent has left, or whose origin does not listen, are a TLS alert",
    async () => {
      const agent = await startAgent("brief", await freePort());
      const refused = await visit("https://brief.localhost/");
      expect(refused.stderr).toContain("alert internal error");
      expect(await agent.event("stream")).toMatchObject({
        kind: "tls",
        end: "reset",
        code: "origin-refused",
      });
      await agent.stop();
      const gone = await visit("https://brief.localhost/");
      expect(gone.stderr).toContain("alert internal error");
    },
    testLimitMs,
  );

  test(
    "wait for an agent that was lost: served by the next one, or told after the wait that there is none",
    async () => {
      const { links = 0 } = await relayMetrics(relay);
      const lost = await startAgent("lost", ports.green);
      await lost.kill();
      await untilGauge("links", links);
      const served = startVisit("https://lost.localhost/", "--insecure");
      await untilGauge("held", 1);
      const next = await startAgent("lost", ports.green);
      expect(await served.exit()).toBe(0);
      expect(served.stdout).toStartWith("green HTTP/2.0 lost.localhost");
      await next.kill();
      await untilGauge("links", links);
      const refused = await visit("https://lost.localhost/");
      expect(refused.stderr).toContain("alert internal error");
    },
    testLimitMs,
  );

  test("resume a TLS session with a ticket of the origin's", async () => {
    const program = new Program([
      ...[openssl ?? "", "s_client", "-reconnect", "-tls1_2", "-servername", "blue.localhost"],
      ...["-CAfile", authority.own.cert, "-connect", `127.0.0.1:${tlsPort}`],
    ]);
    await program.exit();
    expect(program.stdout.match(/^Reused, TLSv1\.2/gm)?.length).toBe(5);
  });

  test(
    "carry gRPC: calls, streams, trailers, and only visitors whom the origin knows",
    async () => {
      const own = await authority.issue("echo", { dns: "echo.localhost" });
      const echo = await startGrpcEcho(own, authority.own);
      const agent = await startAgent("echo", echo.port);
      const visitor = new GrpcVisitor(tlsPort, "echo.localhost", visitorOwn, authority.own);
      const others = await Authority.make();
      const eve = await others.issue("eve");
      const stranger = new GrpcVisitor(tlsPort, "echo.localhost", eve, authority.own);
      try {
        expect(await visitor.say("hello", "alice")).toEqual({ code: 0, text: "hello", seen: "alice" });
        expect(await visitor.say("")).toMatchObject({ code: 3 });
        const large = "x".repeat(2 * mebibyte);
        expect(await visitor.say(large)).toMatchObject({ code: 0, text: large });
        const words = Array.from({ length: 200 }, (_, i) => `word ${i}`);
        const chats = await Promise.all(Array.from({ length: 10 }, () => visitor.chat(words)));
        for (const chat of chats) expect(chat).toEqual({ code: 0, heard: words });
        expect((await stranger.say("hello")).code).toBe(14);
      } finally {
        visitor.close();
        stranger.close();
        echo.close();
        await others.remove();
        await agent.stop();
      }
    },
    testLimitMs,
  );
});
