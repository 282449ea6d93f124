import { expect, test } from "bun:test";
import { FetchIngress } from "../../relay/ingress/fetch.ts";
import { readFetchHead } from "../../relay/ingress/fetch-head.ts";
import type { FetchPlatform } from "../../relay/ingress/fetch-platform.ts";
import { Router } from "../../relay/router.ts";
import { holdLimits } from "../../shared/hold.ts";
import { HttpFault } from "../../shared/http1/fault.ts";
import { encodeLatin1 } from "../../shared/http1/latin1.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { HoldSetUp } from "./fake-tunnel.ts";

/** Streams of this runtime in the place of workerd's. */
const platform: FetchPlatform = {
  fieldText: "utf-8",
  bodyPipe: () => new TransformStream<Uint8Array, Uint8Array>(),
  respond: (body, status, _reason, headers) => new Response(body, { status, headers }),
  upgrade: () => {
    throw new Error("no upgrades here");
  },
};

class FetchSetUp extends HoldSetUp {
  readonly router = new Router({ domains: ["localhost"], routing: "both", publicHost: undefined });
  readonly logged: unknown[] = [];
  readonly ingress = new FetchIngress({
    ...this.deps,
    router: this.router,
    memory: new Memory(0),
    log: { write: (event) => void this.logged.push(event) },
    platform,
  });

  visit(path: string, init: RequestInit = {}): Promise<Response> {
    const request = new Request(`http://blue.localhost${path}`, init);
    const read = readFetchHead(request);
    if (read instanceof HttpFault) throw read;
    const route = this.router.route(read.host, read.head.target);
    if (route.kind !== "tunnel") throw new Error("not the tunnel's");
    return this.ingress.visit(request, read, route);
  }
}

/** A body that says what was read of it. */
class Source {
  pulls = 0;
  private readonly pieces: string[];
  readonly stream: ReadableStream<Uint8Array>;

  constructor(...pieces: string[]) {
    this.pieces = pieces;
    this.stream = new ReadableStream({
      type: "bytes",
      pull: (controller) => {
        this.pulls++;
        const piece = this.pieces.shift();
        if (piece !== undefined) return controller.enqueue(new Uint8Array(encodeLatin1(piece)));
        controller.close();
        controller.byobRequest?.respond(0);
      },
    });
  }
}

test("a request waits with its body unread, and is served whole by the next agent", async () => {
  const all = new FetchSetUp();
  const source = new Source("abc", "def");
  const answer = all.visit("/a", { method: "POST", body: source.stream });
  await new Promise((resolve) => setImmediate(resolve));
  expect([all.hold.waiting, source.pulls]).toEqual([1, 0]);
  all.agentComes();
  expect(all.tunnel.last.opening).toStartWith("POST /a HTTP/1.1\r\n");
  await all.tunnel.last.over;
  expect([all.tunnel.last.body, all.tunnel.last.said]).toEqual(["abcdef", ["END"]]);
  all.tunnel.last.answers("hello");
  const response = await answer;
  expect([response.status, await response.text()]).toEqual([200, "hello"]);
  expect([all.metrics.streams, all.metrics.streamsOpen, all.hold.heldBytes]).toEqual([1, 0, 0]);
});

test("a request without a body says its end once, when it is served", async () => {
  const all = new FetchSetUp();
  const answer = all.visit("/a");
  all.agentComes();
  expect(all.tunnel.last.said).toEqual(["END"]);
  all.tunnel.last.answers("");
  expect((await answer).status).toBe(200);
});

test("nobody comes: 503 with Retry-After after the wait; at once when the agent says bye", async () => {
  const all = new FetchSetUp();
  const waiting = all.visit("/a", { method: "POST", body: new Source("abc").stream });
  all.clock.advance(holdLimits.holdMs);
  const late = await waiting;
  expect([late.status, late.headers.get("underpass-error")]).toEqual([503, "agent-offline"]);
  expect(Number(late.headers.get("retry-after"))).toBeGreaterThan(0);
  const second = all.visit("/b");
  all.agentSaysBye();
  expect((await second).status).toBe(503);
  expect((await all.visit("/c")).status).toBe(503);
  expect([all.metrics.streamsOpen, all.metrics.held, all.tunnel.streams.length]).toEqual([0, 0, 0]);
  // What never waited is no exchange.
  expect(all.logged).toMatchObject([
    { path: "/a", status: 503 },
    { path: "/b", status: 503 },
  ]);
});

test("a visitor who aborts leaves his place", async () => {
  const all = new FetchSetUp();
  const abort = new AbortController();
  const waiting = all.visit("/a", { signal: abort.signal });
  expect(all.hold.waiting).toBe(1);
  abort.abort();
  expect(all.hold.waiting).toBe(0);
  await waiting.catch(() => {});
  all.agentComes();
  expect(all.tunnel.streams).toEqual([]);
});

test("a request that no agent has looked at is sent again with its body, and an upload goes on where it was", async () => {
  const all = new FetchSetUp();
  all.agentComes();
  const source = new Source("abc", "def");
  const answer = all.visit("/a", { method: "POST", body: source.stream });
  await all.tunnel.last.over;
  all.agentLeaves();
  all.tunnel.last.fails("unprocessed");
  expect(all.hold.waiting).toBe(1);
  all.agentComes();
  expect([all.tunnel.last.body, all.tunnel.last.said]).toEqual(["abcdef", ["END"]]);
  all.tunnel.last.answers("hello");
  expect(await (await answer).text()).toBe("hello");
  expect(all.tunnel.streams.length).toBe(2);
});
