import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { dialThroughProxy } from "../../agent/dial/dial-through-proxy.ts";
import type { Environment } from "../../agent/dial/proxy-environment.ts";
import { dial, listen, startTls } from "../../shared/runtimes/bun-sockets.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";
import type { Dial, DialTarget, Listener, Socket } from "../../shared/socket.ts";
import { makeCertificate } from "../blackbox/origins/tls.ts";
import { SocketEar } from "../conformance/socket-ear.ts";
import { ConnectProxy } from "./connect-proxy.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** The proxies of these tests take every name for 127.0.0.1; no other way leads there. */
const relayHost = "relay.example";
let certificate: Awaited<ReturnType<typeof makeCertificate>>;
let plainEcho: Listener;
let secureEcho: Listener;

function echo(socket: Socket): void {
  socket.handler = {
    data: (bytes) => void socket.write(bytes),
    drained() {},
    ended: () => socket.end(),
    closed() {},
  };
}

beforeAll(async () => {
  certificate = await makeCertificate();
  const [cert, key] = await Promise.all([
    readFile(certificate.cert, "utf8"),
    readFile(certificate.key, "utf8"),
  ]);
  plainEcho = await listen({ host: "127.0.0.1", port: 0 }, echo);
  secureEcho = await listen({ host: "127.0.0.1", port: 0, tls: { cert, key } }, echo);
});

afterAll(async () => {
  plainEcho.close();
  secureEcho.close();
  await rm(certificate.folder, { recursive: true });
});

const plainTarget = (): DialTarget => ({ host: relayHost, port: plainEcho.port });
const secureTarget = (insecure = true): DialTarget => ({
  host: relayHost,
  port: secureEcho.port,
  tls: { serverName: "relay.example", insecure },
});

interface Outcome {
  readonly ear?: SocketEar;
  readonly failure?: string;
}

function attempt(
  environment: Environment,
  target: DialTarget,
  { timeoutMs = 5_000, clock = systemClock }: { timeoutMs?: number; clock?: typeof systemClock } = {},
): Promise<Outcome> {
  const through = dialThroughProxy({ dial, startTls, clock }, environment);
  return new Promise((resolve) => {
    let inside = true;
    through(target, timeoutMs, {
      opened: (socket) => resolve({ ear: new SocketEar(socket) }),
      failed: (reason, detail) => resolve({ failure: `${inside ? "inside! " : ""}${reason}: ${detail}` }),
    });
    inside = false;
  });
}

async function opened(environment: Environment, target: DialTarget): Promise<SocketEar> {
  const { ear, failure } = await attempt(environment, target);
  if (ear === undefined) throw new Error(failure);
  return ear;
}

async function echoes(ear: SocketEar): Promise<void> {
  const sent = new Uint8Array(1_048_576).map((_, at) => at * 31);
  ear.call((socket) => {
    socket.write(sent);
    socket.end();
  });
  await ear.until(() => ear.closes.length === 1);
  expect(Buffer.concat(ear.chunks).equals(sent)).toBe(true);
  expect([ear.ends, ear.closes]).toEqual([1, [false]]);
}

describe("a dial through an HTTP proxy", () => {
  test("asks by CONNECT for a plain relay too, and is a socket like any other", async () => {
    await using proxy = await ConnectProxy.listen();
    await echoes(await opened({ HTTP_PROXY: `http://127.0.0.1:${proxy.port}` }, plainTarget()));
    const place = `${relayHost}:${plainEcho.port}`;
    expect(proxy.asked).toEqual([`CONNECT ${place} HTTP/1.1\r\nHost: ${place}\r\n\r\n`]);
  });

  test("speaks TLS with the relay behind it, and shows the proxy nothing else", async () => {
    await using proxy = await ConnectProxy.listen();
    await echoes(await opened({ HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` }, secureTarget()));
    expect(proxy.asked).toHaveLength(1);
  });

  test("reads an answer that comes byte by byte, with a length that means nothing", async () => {
    await using proxy = await ConnectProxy.listen({ kind: "open", split: true });
    await echoes(await opened({ ALL_PROXY: `127.0.0.1:${proxy.port}` }, secureTarget()));
  });

  test("hands on what the far end said at once", async () => {
    await using proxy = await ConnectProxy.listen({ kind: "open", extra: "welcome" });
    const ear = await opened({ ALL_PROXY: `127.0.0.1:${proxy.port}` }, plainTarget());
    await ear.until(() => ear.text() === "welcome");
    ear.socket.destroy();
  });

  test("logs in where the URL says so", async () => {
    const login = `Basic ${Buffer.from("ada:s%cret").toString("base64")}`;
    await using proxy = await ConnectProxy.listen({ kind: "open", login });
    await echoes(await opened({ ALL_PROXY: `http://ada:s%25cret@127.0.0.1:${proxy.port}` }, secureTarget()));
  });

  test("goes straight to this machine, and where NO_PROXY says so", async () => {
    const dead = { ALL_PROXY: "http://127.0.0.1:1" };
    await echoes(await opened(dead, { host: "127.0.0.1", port: plainEcho.port }));
    const asked: DialTarget[] = [];
    const note: Dial = (target) => {
      asked.push(target);
      return () => {};
    };
    for (const environment of [{ ...dead, NO_PROXY: relayHost }, {}, { HTTPS_PROXY: "http://127.0.0.1:1" }]) {
      const through = dialThroughProxy({ dial: note, startTls, clock: systemClock }, environment);
      through(plainTarget(), 1_000, { opened() {}, failed() {} });
    }
    expect(asked).toEqual([plainTarget(), plainTarget(), plainTarget()]);
  });

  test("passes a reset on both ways", async () => {
    await using proxy = await ConnectProxy.listen();
    const ear = await opened({ ALL_PROXY: `127.0.0.1:${proxy.port}` }, secureTarget());
    for (const socket of proxy.sockets) socket.resetAndDestroy();
    await ear.until(() => ear.closes.length === 1);
    expect(ear.closes).toEqual([true]);
  });
});

describe("a dial through an HTTP proxy that fails says why:", () => {
  const says = async (
    way: Parameters<typeof ConnectProxy.listen>[0],
    target = secureTarget(),
    login = "",
  ) => {
    await using proxy = await ConnectProxy.listen(way);
    const outcome = await attempt({ ALL_PROXY: `http://${login}127.0.0.1:${proxy.port}` }, target);
    while (proxy.sockets.size > 0) await Promise.race([...proxy.sockets].map((socket) => gone(socket)));
    return outcome.failure?.replaceAll(`:${proxy.port}`, ":3128").replaceAll(/:\d{5}/g, ":PORT");
  };
  const gone = (socket: { once(event: "close", run: () => void): unknown; resume(): unknown }) =>
    new Promise<void>((resolve) => {
      socket.once("close", resolve);
      socket.resume();
    });
  const name = "The proxy 127.0.0.1:3128 (ALL_PROXY)";

  test("it wants a login", async () => {
    expect(await says({ kind: "open", login: "Basic eA==" })).toBe(
      `failed: ${name} wants a login (407): give ALL_PROXY as http://USER:PASSWORD@HOST:PORT.`,
    );
  });

  test("it wants another login, which is not repeated", async () => {
    expect(await says({ kind: "open", login: "Basic eA==" }, secureTarget(), "ada:secret@")).toBe(
      `failed: ${name} does not accept the login in ALL_PROXY (407).`,
    );
  });

  const answers: [string, string, string][] = [
    ["it forbids the target", "HTTP/1.1 403 Forbidden\r\n\r\n", "failed"],
    ["it can't reach the target", "HTTP/1.1 502 Bad Gateway\r\n\r\n", "unreachable"],
    ["the target did not answer it", "HTTP/1.1 504 Gateway Timeout\r\n\r\n", "timeout"],
    ["it redirects", "HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n", "failed"],
  ];
  test.each(answers)("%s", async (_, head, reason) => {
    const [, status] = head.split(" ");
    expect(await says({ kind: "says", bytes: head })).toBe(
      `${reason}: ${name} answered ${status} to CONNECT ${relayHost}:PORT.`,
    );
  });

  test("it speaks something else", async () => {
    expect(await says({ kind: "says", bytes: "SSH-2.0-OpenSSH\r\n\r\n" })).toBe(
      `failed: ${name} does not speak HTTP.`,
    );
  });

  test("its answer has no end", async () => {
    const bytes = `HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(5_000)}`;
    expect(await says({ kind: "says", bytes })).toBe(`failed: ${name} does not speak HTTP.`);
  });

  test.each(["ends", "resets"] as const)("it %s before it has answered", async (kind) => {
    expect(await says({ kind })).toBe(`failed: ${name} closed before it had answered.`);
  });

  test("it says more before TLS has begun", async () => {
    expect(await says({ kind: "open", extra: "advertisement" })).toBe(
      `tls: Bytes came through ${name.replace("The", "the")} before TLS had begun.`,
    );
  });

  test("what is behind it does not speak TLS", async () => {
    const target = { ...secureTarget(), port: plainEcho.port };
    expect(await says({ kind: "open" }, target)).toStartWith("tls: ");
  });

  test("nobody vouches for the certificate behind it", async () => {
    expect(await says({ kind: "open" }, secureTarget(false))).toStartWith("tls: ");
  });

  test("nothing listens there", async () => {
    const { failure } = await attempt({ ALL_PROXY: "http://ada:secret@127.0.0.1:1" }, secureTarget());
    expect(failure).toStartWith("refused: The proxy 127.0.0.1:1 (ALL_PROXY) can't be reached: ");
    expect(failure).not.toContain("secret");
  });

  test("the variable names no HTTP proxy", async () => {
    const { failure } = await attempt({ ALL_PROXY: "socks5://ada:secret@127.0.0.1:1" }, secureTarget());
    expect(failure).toBe(
      "failed: ALL_PROXY names a proxy that is spoken to in socks5. Only http:// proxies can be used.",
    );
  });

  test("it hangs, and is left when the time is up", async () => {
    await using proxy = await ConnectProxy.listen({ kind: "hangs" });
    const clock = new VirtualClock();
    const environment = { ALL_PROXY: `http://127.0.0.1:${proxy.port}` };
    const failing = attempt(environment, secureTarget(), { timeoutMs: 60_000, clock });
    while (proxy.asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(60_000);
    expect((await failing).failure).toBe(
      `timeout: The proxy 127.0.0.1:${proxy.port} (ALL_PROXY) did not answer in time.`,
    );
    for (const socket of proxy.sockets) await gone(socket);
    expect(clock.timers).toBe(0);
  });
});

describe("a dial through an HTTP proxy that is given up", () => {
  test.each(["hangs", "open"] as const)("leaves nothing behind at one that %s", async (kind) => {
    await using proxy = await ConnectProxy.listen({ kind });
    const clock = new VirtualClock();
    const through = dialThroughProxy({ dial, startTls, clock }, { ALL_PROXY: `127.0.0.1:${proxy.port}` });
    let told = 0;
    // TLS that never gets an answer, so that the second way hangs too, one step later.
    const silent = await listen({ host: "127.0.0.1", port: 0 }, () => {});
    const giveUp = through({ ...secureTarget(), port: silent.port }, 60_000, {
      opened: () => void told++,
      failed: () => void told++,
    });
    const steps = kind === "hangs" ? 1 : 2;
    while (proxy.sockets.size < steps || proxy.asked.length === 0)
      await new Promise((resolve) => setImmediate(resolve));
    giveUp();
    for (const socket of proxy.sockets)
      await new Promise((resolve) => socket.once("close", resolve).resume());
    expect([told, clock.timers]).toEqual([0, 0]);
    silent.close();
  });
});

test("behind a proxy the name in the certificate is checked as well", async () => {
  // In a process of its own, where the certificate is one that can be trusted.
  await using proxy = await ConnectProxy.listen();
  const script = join(import.meta.dir, "trusted-dial.ts");
  const run = Bun.spawn([process.execPath, script, `${proxy.port}`, `${secureEcho.port}`], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate.cert },
    stdout: "pipe",
  });
  const [right, wrong] = (await new Response(run.stdout).text()).trim().split("\n");
  expect(right).toBe("opened");
  expect(wrong).toStartWith("tls: ");
});
