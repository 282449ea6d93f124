import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { agentProgram } from "../blackbox/programs/agent.ts";
import type { Program } from "../blackbox/programs/program.ts";
import type { Relay } from "../blackbox/programs/relay.ts";
import { RawOrigin } from "../blackbox/raw/origin.ts";
import { opcodes, RawWebSocket } from "../blackbox/raw/websocket.ts";
import { FaultProxy } from "../faults/fault-proxy.ts";
import { ByteEcho, sayAll } from "./byte-echo.ts";
import { startWorkerdRelay } from "./workerd-relay.ts";

const testLimitMs = 60_000;
const mebibyte = 1_048_576;
const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** PROTOCOL.md section 1.1, said by hand. */
class HandMadeLink {
  private constructor(
    private readonly relay: Relay,
    private readonly name: string,
    readonly head: Headers,
    private readonly events: ReadableStreamDefaultReader<Uint8Array>,
    private readonly abort: AbortController,
    readonly opening: { readonly link: string; readonly secret: string },
  ) {}

  static async open(relay: Relay, name: string): Promise<HandMadeLink> {
    const abort = new AbortController();
    const answer = await fetch(`${relay.url}/_underpass/links/${name}?kind=http`, {
      headers: {
        Accept: "text/event-stream",
        "Underpass-Protocol": "underpass.1",
        Authorization: `Bearer ${await relay.token()}`,
        "Accept-Encoding": "identity",
      },
      signal: abort.signal,
    });
    expect(answer.status).toBe(200);
    const events = (answer.body as ReadableStream<Uint8Array>).getReader();
    let text = "";
    while (!text.includes("\n\n")) text += Buffer.from((await events.read()).value ?? []).toString();
    const data = /^event: open\ndata: (.*)\n\n$/.exec(text)?.[1] ?? "";
    return new HandMadeLink(relay, name, answer.headers, events, abort, JSON.parse(data));
  }

  /** The way down is over, as the relay would have it: a link that it drops is cut off by a newer workerd, and ended by an older one. */
  async over(): Promise<void> {
    const cutOff = () => ({ done: true });
    while (!(await this.events.read().catch(cutOff)).done);
  }

  close(): void {
    this.abort.abort();
  }

  async post(number: number, options: { readonly secret?: string } = {}): Promise<number> {
    const { link, secret } = this.opening;
    const answer = await fetch(`${this.relay.url}/_underpass/posts/${this.name}/${link}`, {
      method: "POST",
      headers: {
        "Underpass-Link-Secret": options.secret ?? secret,
        "Underpass-Sequence": String(number),
      },
      body: Uint8Array.of(1, 0, 0, 1, 65),
      // A refusal may leave the body unread.
      keepalive: false,
    });
    await answer.text();
    return answer.status;
  }
}

describe("a link of events and POSTs to workerd", () => {
  let relay: Relay;
  beforeAll(async () => {
    relay = await startWorkerdRelay({});
  }, testLimitMs);
  afterAll(() => relay?.stop());

  test("is opened as PROTOCOL.md says, and nothing on the way is to keep it back", async () => {
    const link = await HandMadeLink.open(relay, "opened");
    expect(link.head.get("content-type")).toBe("text/event-stream");
    expect(link.head.get("cache-control")).toBe("no-store, no-transform");
    expect(link.head.get("x-accel-buffering")).toBe("no");
    expect(link.opening.link).toMatch(/^[\w-]{22}$/);
    expect(link.opening.secret).toMatch(/^[\w-]{43}$/);
    link.close();
  });

  test("is not opened without a credential, an upgrade, or the protocol's name", async () => {
    const dial = async (fields: Record<string, string>) => {
      const answer = await fetch(`${relay.url}/_underpass/links/refused?kind=http`, { headers: fields });
      return [answer.status, answer.headers.get("underpass-error")];
    };
    const events = { Accept: "text/event-stream", "Underpass-Protocol": "underpass.1" };
    const token = { Authorization: `Bearer ${await relay.token()}` };
    expect(await dial(events)).toEqual([401, "unauthorized"]);
    expect(await dial(token)).toEqual([426, "upgrade-required"]);
    expect(await dial({ ...token, ...events, "Underpass-Protocol": "underpass.2" })).toEqual([
      ...[426, "version-unsupported"],
    ]);
  });

  test("knows its POSTs by secret and number", async () => {
    const link = await HandMadeLink.open(relay, "posted");
    expect(await link.post(1, { secret: "x".repeat(43) })).toBe(404);
    const stranger = fetch(`${relay.url}/_underpass/posts/posted/${"x".repeat(22)}`, {
      method: "POST",
      body: "x",
      keepalive: false,
    });
    expect((await stranger).status).toBe(404);
    expect(await link.post(6)).toBe(400);
    await link.over();
    expect(await link.post(1)).toBe(404);
  });

  test("is over as soon as its agent has gone: a POST that waits for its turn is told", async () => {
    const link = await HandMadeLink.open(relay, "left");
    const startedMs = performance.now();
    const waiting = link.post(2);
    link.close();
    // The POST may come too late for that.
    expect([400, 404]).toContain(await waiting);
    // Not because nothing was said on it for the ten seconds of a handshake.
    expect(performance.now() - startedMs).toBeLessThan(8_000);
  });

  describe("carries", () => {
    let origin: RawOrigin;
    let echo: ByteEcho;
    let proxy: FaultProxy;
    const agents: Program[] = [];
    const target = () => ({ port: relay.port, host: relay.hostFor("events") });

    async function start(args: readonly string[], token: string): Promise<Program> {
      const agent = agentProgram([...args, "--relay", proxy.url, "--transport", "sse", "--json"], {
        env: { UNDERPASS_TOKEN: token },
      });
      agents.push(agent);
      expect(await agent.event("link")).toMatchObject({ state: "up", transport: "sse" });
      return agent;
    }

    beforeAll(async () => {
      [origin, echo, proxy] = await Promise.all([
        RawOrigin.listen(),
        ByteEcho.listen(),
        FaultProxy.listen(relay.port),
      ]);
      await start(["http", String(origin.port), "--name", "events"], await relay.token());
    }, testLimitMs);
    afterAll(async () => {
      for (const agent of agents) await agent.kill();
      await proxy?.[Symbol.asyncDispose]();
      await origin?.close();
      echo?.close();
    });

    test(
      "HTTP: large bodies both ways, and what is flushed is there at once",
      async () => {
        const content = randomBytes(8 * mebibyte);
        const flushed = Promise.withResolvers<void>();
        const uploaded = Promise.withResolvers<string>();
        origin.script = async (exchange) => {
          uploaded.resolve((await exchange.body.sha256()).sha256);
          await exchange.send(`HTTP/1.1 200 OK\r\nContent-Length: ${content.length + 5}\r\n\r\nfirst`);
          await flushed.promise;
          await exchange.send(content);
        };
        const answer = await fetch(`${relay.url}/~events/`, { method: "POST", body: content });
        const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
        const pieces: Uint8Array[] = [];
        let size = 0;
        const read = async (until: number) => {
          while (size < until) {
            const { value } = await reader.read();
            if (value === undefined) return;
            pieces.push(value);
            size += value.length;
          }
        };
        expect(await uploaded.promise).toBe(hash(content));
        await read(5);
        flushed.resolve();
        await read(content.length + 5);
        expect(hash(Buffer.concat(pieces).subarray(5))).toBe(hash(content));
      },
      testLimitMs,
    );

    test(
      "WebSockets",
      async () => {
        origin.script = async (exchange) => {
          const socket = await RawWebSocket.accept(exchange);
          const { payload } = await socket.frame();
          await socket.send(opcodes.binary, payload);
          await exchange.wire.over;
        };
        using socket = await RawWebSocket.connect(target());
        await socket.send(opcodes.binary, randomBytes(70_000));
        expect((await socket.frame()).payload.length).toBe(70_000);
      },
      testLimitMs,
    );

    test(
      "private tunnels, and a stream goes on when every socket of the links is cut",
      async () => {
        await start(["private", String(echo.port), "--name", "vault"], await relay.token());
        const caller = await start(
          ["connect", "vault", "--listen", "127.0.0.1:0"],
          await relay.token({ sub: "bob", connect: ["vault"] }),
        );
        const port = Number(new URL(String((await caller.event("ready"))["url"])).port);
        const content = randomBytes(8 * mebibyte);
        const came = sayAll(port, content);
        for (let cut = 0; cut < 3; cut++) {
          // Each time once something is under way again.
          const before = proxy.pipes.length;
          proxy.fault("reset");
          await proxy.pipe(before + 1);
        }
        expect(hash(await came)).toBe(hash(content));
      },
      testLimitMs,
    );
  });
});
