import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Tokens } from "../../relay/auth/tokens.ts";
import { type RunningRelay, startRelay } from "../../relay/relay.ts";
import { type Hello, readWelcome, type Welcome, writeHello } from "../../shared/handshake.ts";
import { encodeParts, type Part, PartType } from "../../shared/links/parts.ts";
import { pingText, pongText } from "../../shared/liveness.ts";
import { dial, listen } from "../../shared/runtimes/bun-sockets.ts";
import { VirtualClock } from "../agent/virtual-clock.ts";
import { Head } from "../blackbox/raw/head.ts";
import { Wire } from "../blackbox/raw/wire.ts";
import { RawEventLink } from "./raw-event-link.ts";

let clock: VirtualClock;
let relay: RunningRelay;
let token: string;

beforeEach(async () => {
  clock = new VirtualClock();
  const secret = crypto.getRandomValues(new Uint8Array(32));
  relay = await startRelay({
    ...{ listen: { host: "127.0.0.1", port: 0 }, accept: listen, clock, secret, dial },
    ...{ domains: ["localhost"], routing: "both", nameTtlMs: 86_400_000 },
    random: (bytes) => crypto.getRandomValues(bytes),
    resolve: async () => [],
    openDatagrams: () => Promise.reject(new Error("no datagrams here")),
  });
  token = await new Tokens(secret).mint(
    { subject: "tester", kinds: ["http"], ttlMs: 86_400_000 },
    clock.date(),
  );
});
afterEach(async () => {
  const stopped = relay.stop(0);
  // A test that failed has left its visitors.
  clock.advance(1_000);
  await stopped;
});

const open = () => RawEventLink.open({ port: relay.port, token });

const hello: Hello = {
  ...{ version: 1, features: [], kind: "http", instance: "i".repeat(16), slot: 0, attempt: 1 },
  ...{ window: 65_536, streams: 16, received: 0 },
};

const body = (...parts: readonly (Uint8Array | string)[]): Uint8Array =>
  encodeParts(
    new Uint8Array(0),
    parts.map((part): Part => {
      if (typeof part !== "string") return { type: PartType.binary, bytes: part };
      return { type: PartType.text, bytes: new TextEncoder().encode(part) };
    }),
  );

/** A link on which the relay has said WELCOME. */
async function greeted(attempt = 1): Promise<{ link: RawEventLink; welcome: Welcome }> {
  const link = await open();
  expect((await link.post(1, body(writeHello({ ...hello, attempt })))).status).toBe(204);
  const read = readWelcome(Uint8Array.fromBase64((await link.event()).data));
  if (read.kind !== "ok") throw new Error(`no WELCOME: ${read.kind}`);
  return { link, welcome: read.value };
}

/** What comes down until `name` does. */
async function until(link: RawEventLink, name: string): Promise<string> {
  for (;;) {
    const event = await link.event();
    if (event.name === name) return event.data;
  }
}

describe("a dial", () => {
  test("is answered with events that end with the socket, in HTTP/1.0 too", async () => {
    for (const minor of [0, 1] as const) {
      const link = await RawEventLink.open({ port: relay.port, token, minor });
      expect(link.head.field("content-type")).toBe("text/event-stream");
      expect(link.head.field("cache-control")).toBe("no-store, no-transform");
      expect(link.head.field("x-accel-buffering")).toBe("no");
      expect(link.head.field("connection")).toBe("close");
      expect(link.head.field("transfer-encoding")).toBeUndefined();
      expect([link.id.length, link.secret.length]).toEqual([22, 43]);
      link.close();
    }
  });

  test("is refused as one for a WebSocket is", async () => {
    const port = relay.port;
    for (const [options, status, code] of [
      [{ port }, 401, "unauthorized"],
      [{ port, token: "a.b.c" }, 401, "unauthorized"],
      [{ port, token, without: /^Underpass-Protocol/ }, 426, "version-unsupported"],
      [{ port, token, path: "blue?kind=private" }, 403, "kind-forbidden"],
      [{ port, token, path: "BLUE" }, 404, "not-found"],
    ] as const) {
      const link = await RawEventLink.ask(options);
      expect([link.head.field("underpass-error"), link.head.status]).toEqual([code, status]);
      link.close();
    }
  });

  test("that asks for neither, or whose upgrade was eaten on the way, is told so", async () => {
    const upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"];
    for (const [version, lines] of [
      ["1.1", []],
      ["1.0", []],
      ["1.1", ["Accept: application/problem+json, application/json"]],
      ["1.0", [upgrade[0], "Connection: close"]],
      ["1.1", [upgrade[0]]],
      ["1.1", upgrade],
    ] as const) {
      const wire = await Wire.connect(relay.port);
      const head = [`GET /_underpass/links/blue HTTP/${version}`, "Host: localhost", ...lines];
      await wire.send(`${head.join("\r\n")}\r\nAuthorization: Bearer ${token}\r\n\r\n`);
      const answer = await Head.read(wire);
      expect([answer.status, answer.field("underpass-error")]).toEqual([426, "upgrade-required"]);
      wire.close();
    }
  });
});

describe("POSTs", () => {
  test("bring what an agent says, and their answers say that it was taken in", async () => {
    const { link, welcome } = await greeted();
    expect([welcome.resumed, welcome.urls.length > 0]).toEqual([false, true]);
    expect(await link.post(2, body(pingText))).toEqual({ status: 204, kept: true });
    expect(await until(link, "text")).toBe(pongText);
    link.close();
  });

  test("come on one socket, one after the other, pipelined or not, or on one each", async () => {
    const { link } = await greeted();
    const wire = await Wire.connect(relay.port);
    for (let number = 2; number < 6; number++)
      expect((await link.post(number, body(pingText), { wire })).status).toBe(204);
    const ping = body(pingText);
    const pipelined = [6, 7, 8].map((number) =>
      Buffer.concat([Buffer.from(link.postHead(number, ping.length)), ping]),
    );
    await wire.send(Buffer.concat(pipelined));
    for (let i = 0; i < 3; i++) expect((await Head.read(wire)).status).toBe(204);
    expect(await link.post(9, ping, { version: "1.0" })).toEqual({ status: 204, kept: false });
    for (let i = 0; i < 8; i++) expect(await until(link, "text")).toBe(pongText);
    wire.close();
    link.close();
  });

  test("that were taken in are answered again, and nothing of them comes twice", async () => {
    const { link } = await greeted();
    for (const number of [2, 2, 1, 2, 3]) {
      expect((await link.post(number, body(pingText))).status).toBe(204);
    }
    const told: string[] = [];
    clock.advance(15_000);
    for (let event = await link.event(); event.name !== ":"; event = await link.event())
      told.push(event.name);
    expect(told).toEqual(["text", "text"]);
    link.close();
  });

  test("that overtake are answered when their turn has come", async () => {
    const { link } = await greeted();
    const early = [4, 3].map((number) => link.post(number, body(`${pingText}`)));
    let answered = 0;
    for (const each of early) void each.then(() => answered++);
    const cut = await Wire.connect(relay.port);
    const ping = body(pingText);
    // The first try of number 2 breaks off in the middle, the second is cut before its answer can be read.
    await cut.send(link.postHead(2, ping.length));
    await cut.send(ping.slice(0, 20));
    cut.abort();
    const unheard = await Wire.connect(relay.port);
    await unheard.send(link.postHead(2, ping.length));
    expect(answered).toBe(0);
    await unheard.send(ping);
    for (const each of early) expect((await each).status).toBe(204);
    unheard.abort();
    expect((await link.post(2, ping)).status).toBe(204);
    for (let i = 0; i < 3; i++) expect(await until(link, "text")).toBe(pongText);
    link.close();
  });

  test("for a link that is not there, or with another secret or name, are 404, before their body is read", async () => {
    const { link } = await greeted();
    for (const more of [
      { id: "x".repeat(22) },
      { secret: "x".repeat(43) },
      { secret: link.secret.slice(1) },
      { secret: "" },
      { name: "red" },
    ]) {
      const wire = await Wire.connect(relay.port);
      await wire.send(link.postHead(2, 400_000, more));
      const head = await Head.read(wire);
      expect([more, head.status, head.field("underpass-error")]).toEqual([more, 404, "not-found"]);
      wire.close();
    }
    // The link has not heard of them.
    expect((await link.post(2, body(pingText))).status).toBe(204);
    link.close();
  });

  test("that break a rule are 400, and end the link", async () => {
    const wrong: readonly (readonly [number | string, Uint8Array])[] = [
      [2, new Uint8Array(0)],
      [2, new Uint8Array([9, 0, 0, 0])],
      [2, new Uint8Array([0, 0, 0, 9])],
      [2, new Uint8Array(524_289)],
      [6, body(pingText)],
      [0, body(pingText)],
      ["", body(pingText)],
      ["2x", body(pingText)],
      ["9".repeat(40), body(pingText)],
    ];
    for (const [number, bytes] of wrong) {
      const link = await open();
      expect((await link.post(1, body(writeHello(hello)))).status).toBe(204);
      expect([number, bytes.length, (await link.post(number, bytes)).status]).toEqual([
        number,
        bytes.length,
        400,
      ]);
      expect(await link.wire.over).toBeOneOf(["fin", "reset"]);
      expect((await link.post(2, body(pingText))).status).toBe(404);
    }
  });

  test("larger than what else the relay's host takes are taken, up to 512 KiB", async () => {
    const link = await open();
    const parts = Array.from({ length: 15 }, () => " ".repeat(1_000));
    // Texts before HELLO are an error: this one is taken in as a POST, and then its link is closed by the reception.
    expect((await link.post(1, body(...parts))).status).toBe(204);
    expect(await until(link, "close")).toContain("1002 protocol-error");
    const wire = await Wire.connect(relay.port);
    await wire.send(
      `POST /_underpass/names HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15000\r\n\r\n${"x".repeat(15_000)}`,
    );
    expect((await Head.read(wire)).status).toBe(413);
    wire.close();
    link.close();
  });
});

describe("a link", () => {
  test("lives as long as its agent shows life: none of the listener's times is for it", async () => {
    const { link } = await greeted();
    const wire = await Wire.connect(relay.port);
    let comments = 0;
    for (let number = 2; number < 42; number++) {
      clock.advance(15_000);
      expect((await link.post(number, body(pingText), { wire })).status).toBe(204);
      for (let event = await link.event(); event.name !== "text"; event = await link.event())
        if (event.name === ":") comments++;
    }
    // Ten minutes, a comment each 15 s, and the same socket for all POSTs.
    expect(comments).toBe(40);
    wire.close();
    link.close();
  });

  test("is gone with its socket, in whichever way that goes", async () => {
    for (const [attempt, how] of [
      [1, "end"],
      [2, "abort"],
    ] as const) {
      const { link } = await greeted(attempt);
      link.wire[how]();
      await link.wire.over;
      while ((await link.post(2, body(pingText))).status !== 404);
    }
  });

  test("on which a POST is lacking for 30 s is dropped, and what waited for it is told", async () => {
    const { link } = await greeted();
    const early = link.post(3, body(pingText));
    const wire = await Wire.connect(relay.port);
    // The relay has it when it answers what came behind it.
    await wire.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await Head.read(wire);
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(29_000);
    expect((await Promise.race([early, Promise.resolve("waits")])) as unknown).toBe("waits");
    clock.advance(1_000);
    expect((await early).status).toBe(400);
    expect(await link.wire.over).toBeOneOf(["fin", "reset"]);
    wire.close();
  });

  test("that says close gets its code back and is closed", async () => {
    const { link } = await greeted();
    const close = new Uint8Array([PartType.close, 0, 0, 7, 0x0f, 0xa1, 101, 110, 111, 117, 103]);
    expect((await link.post(2, close)).status).toBe(204);
    expect(await until(link, "close")).toStartWith("4001");
    expect(await link.wire.over).toBe("fin");
  });

  test("keeps its POSTs' sockets while the relay drains, which is not kept by them", async () => {
    const { link } = await greeted();
    const wire = await Wire.connect(relay.port);
    expect((await link.post(2, body(pingText), { wire })).kept).toBe(true);
    const idle = await Wire.connect(relay.port);
    await idle.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await Head.read(idle);
    let stopped = false;
    const stopping = relay.stop(30_000).then(() => {
      stopped = true;
    });
    for (let number = 3; number < 20; number++) {
      clock.advance(250);
      expect(await link.post(number, body(pingText), { wire })).toEqual({ status: 204, kept: true });
    }
    // The idle visitor is what it waits for.
    expect(stopped).toBe(false);
    clock.advance(1_000);
    expect(await idle.over).toBe("fin");
    idle.close();
    await new Promise((resolve) => setImmediate(resolve));
    while (!stopped) {
      clock.advance(250);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await stopping;
    expect(await until(link, "close")).toBe("1001 going-away");
    await wire.over;
  });
});
