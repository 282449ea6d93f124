import { describe, expect, test } from "bun:test";
import type { HttpIngressDeps } from "../../relay/ingress/ingress-deps.ts";
import { ingressLimits } from "../../relay/ingress/limits.ts";
import { HttpVisitor } from "../../relay/ingress/visitor.ts";
import { Router } from "../../relay/router.ts";
import { holdLimits } from "../../shared/hold.ts";
import { decodeLatin1, encodeLatin1 } from "../../shared/http1/latin1.ts";
import type { Socket, SocketHandler } from "../../shared/socket.ts";
import { HoldSetUp } from "./fake-tunnel.ts";

const deaf: SocketHandler = { data() {}, drained() {}, ended() {}, closed() {} };

/** A visitor's end of a socket: keeps what he got, and obeys `pause` as a system does. */
class FakeSocket implements Socket {
  handler = deaf;
  got = "";
  paused = false;
  over = false;
  finished = false;
  readonly queued = 0;
  readonly remote = "203.0.113.7:4711";
  readonly local = "";

  write(bytes: Uint8Array): number {
    if (!this.over && !this.finished) this.got += decodeLatin1(bytes);
    return 0;
  }
  end(): void {
    this.finished = true;
  }
  destroy(): void {
    this.over = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }

  says(text: string): void {
    if (this.paused) throw new Error("nobody reads");
    this.handler.data(encodeLatin1(text));
  }
  gone(): void {
    this.over = true;
    this.handler.closed({ reset: true });
  }
}

class VisitorSetUp extends HoldSetUp {
  readonly visitors: HttpVisitor[] = [];
  readonly logged: unknown[] = [];

  visitor(): FakeSocket {
    const socket = new FakeSocket();
    const deps: HttpIngressDeps = {
      ...this.deps,
      router: new Router({ domains: ["localhost"], routing: "both", publicHost: undefined }),
      log: { write: (event) => void this.logged.push(event) },
      ownHost: { draining: () => false } as unknown as HttpIngressDeps["ownHost"],
      scheme: "http",
    };
    this.visitors.push(new HttpVisitor(socket, { deps, forget() {} }));
    return socket;
  }
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: blue.localhost\r\n\r\n`;
const post = (path: string, length: number) =>
  `POST ${path} HTTP/1.1\r\nHost: blue.localhost\r\nContent-Length: ${length}\r\n\r\n`;

describe("a visitor whose agent is away", () => {
  test("waits, and is served by the next agent", () => {
    const all = new VisitorSetUp();
    const socket = all.visitor();
    socket.says(get("/a"));
    expect([socket.got, all.hold.waiting, all.visitors[0]?.busy]).toEqual(["", 1, true]);
    all.agentComes();
    expect(all.tunnel.last.opening).toStartWith("GET /a HTTP/1.1\r\n");
    expect(all.tunnel.last.said).toEqual(["END"]);
    all.tunnel.last.answers("hello");
    expect(socket.got).toStartWith("HTTP/1.1 200 OK\r\n");
    expect(socket.got).toEndWith("\r\n\r\nhello");
    expect([all.metrics.streams, all.metrics.streamsOpen, all.hold.heldBytes]).toEqual([1, 0, 0]);
  });

  test("keeps his body to himself, but for what came with the head", () => {
    const all = new VisitorSetUp();
    const socket = all.visitor();
    socket.says(`${post("/a", 9)}abc`);
    expect(socket.paused).toBe(true);
    const [headless, plain] = [all.visitor(), all.visitor()];
    headless.says(post("/b", 3));
    expect(headless.paused).toBe(true);
    // Nothing of his can fill us, and it is well to hear when he leaves.
    plain.says(get("/c"));
    expect(plain.paused).toBe(false);
    const whole = all.visitor();
    whole.says(`${post("/d", 3)}abc`);
    expect(whole.paused).toBe(false);
    all.agentComes();
    expect([socket.paused, headless.paused]).toEqual([false, false]);
    socket.says("defghi");
    const [first] = all.tunnel.streams;
    expect([first?.body, first?.said]).toEqual(["abcdefghi", ["END"]]);
  });

  test("gets 503 with Retry-After after the wait, and may ask again on the same socket", () => {
    const all = new VisitorSetUp();
    const socket = all.visitor();
    socket.says(get("/a"));
    all.clock.advance(holdLimits.holdMs);
    expect(socket.got).toStartWith("HTTP/1.1 503 ");
    expect(socket.got).toContain("\r\nUnderpass-Error: agent-offline\r\n");
    expect(socket.got).toMatch(/\r\nRetry-After: \d+\r\n/);
    expect(socket.got).not.toContain("Connection: close");
    expect([all.metrics.holdsExpired, all.metrics.streamsOpen, all.metrics.streams]).toEqual([1, 0, 0]);
    all.agentComes();
    socket.got = "";
    socket.says(get("/b"));
    all.tunnel.last.answers("b");
    expect(socket.got).toEndWith("\r\n\r\nb");
    expect(all.logged).toMatchObject([
      { path: "/a", status: 503 },
      { path: "/b", status: 200 },
    ]);
  });

  test("is told to close when his body was never read", () => {
    const all = new VisitorSetUp();
    const socket = all.visitor();
    socket.says(`${post("/a", 9)}abc`);
    all.agentSaysBye();
    expect(socket.got).toStartWith("HTTP/1.1 503 ");
    expect(socket.got).toContain("\r\nConnection: close\r\n");
    // He may be writing still: he is read, so that he gets to see it.
    expect([socket.paused, socket.finished]).toEqual([false, true]);
    socket.says("defghi");
    all.tunnel.expected = true;
    all.agentComes();
    expect(all.tunnel.streams).toEqual([]);
  });

  test("makes room when he leaves", () => {
    const all = new VisitorSetUp({ maxPerTunnel: 2 });
    const [first, second, third] = [all.visitor(), all.visitor(), all.visitor()];
    first.says(get("/a"));
    second.says(get("/b"));
    third.says(get("/c"));
    expect(third.got).toContain("503");
    first.gone();
    third.says(get("/d"));
    // In the middle of a body a FIN is as good as gone.
    const fourth = all.visitor();
    second.gone();
    fourth.says(`${post("/e", 9)}abc`);
    fourth.paused = false;
    fourth.handler.ended();
    expect([all.hold.waiting, fourth.over]).toEqual([1, true]);
    all.agentComes();
    expect(all.tunnel.streams.map(({ opening }) => opening.slice(0, 6))).toEqual(["GET /d"]);
  });

  test("is passed on with his FIN, when his request was complete", () => {
    const all = new VisitorSetUp();
    const socket = all.visitor();
    socket.says(get("/a"));
    socket.handler.ended();
    expect([all.hold.waiting, socket.over]).toEqual([1, false]);
    all.agentComes();
    expect(all.tunnel.last.said).toEqual(["END", "LEFT"]);
    all.tunnel.last.answers("a");
    expect(socket.got).toEndWith("\r\n\r\na");
    expect(socket.finished).toBe(true);
  });

  test("waits with what he has pipelined, and is served in order", () => {
    const all = new VisitorSetUp();
    const socket = all.visitor();
    socket.says(get("/a") + get("/b") + get("/c"));
    expect(all.hold.waiting).toBe(1);
    all.agentComes();
    for (const path of ["a", "b", "c"]) {
      expect(all.tunnel.last.opening).toStartWith(`GET /${path} `);
      all.tunnel.last.answers(path);
    }
    expect(socket.got.match(/\r\n\r\n[abc]/g)?.map((part) => part.trim())).toEqual(["a", "b", "c"]);
    const waiting = all.visitor();
    all.agentLeaves();
    waiting.says(get("/d") + get("/e"));
    // Each gets its own answer at once.
    all.agentSaysBye();
    expect(waiting.got.match(/^HTTP\/1\.1 503 /gm)?.length).toBe(2);
    expect(all.hold.waiting).toBe(0);
  });

  test("is stopped when he pipelines without end", () => {
    const all = new VisitorSetUp();
    const socket = all.visitor();
    socket.says(get("/a"));
    for (let i = 0; i < 2_000 && !socket.paused; i++) socket.says(get(`/${i}`));
    expect(socket.paused).toBe(true);
    all.agentComes();
    expect(all.tunnel.last.opening).toStartWith("GET /a ");
    all.tunnel.last.answers("a");
    expect(all.tunnel.last.opening).toStartWith("GET /0 ");
  });

  test("with a chunked body and trailers is passed on whole", () => {
    const all = new VisitorSetUp();
    const socket = all.visitor();
    socket.says(
      "POST /a HTTP/1.1\r\nHost: blue.localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    all.agentComes();
    const { body, trailers, said } = all.tunnel.last;
    expect([body, trailers, said]).toEqual(["abc", "X-Sum: 1\r\n", ["TRAILERS", "END"]]);
  });

  test("who asks for an upgrade gets it from the next agent, with what he said early", () => {
    const all = new VisitorSetUp();
    const socket = all.visitor();
    socket.says(
      "GET /ws HTTP/1.1\r\nHost: blue.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly",
    );
    expect(all.hold.waiting).toBe(1);
    all.agentComes();
    const stream = all.tunnel.last;
    expect([stream.body, stream.said]).toEqual(["", []]);
    stream.switches();
    expect(stream.body).toBe("early");
    socket.says("late");
    expect(stream.body).toBe("earlylate");
  });
});

describe("a visitor whose request no agent has looked at", () => {
  test("is served on another stream, with the whole of his body", () => {
    const all = new VisitorSetUp();
    all.agentComes();
    const socket = all.visitor();
    socket.says(`${post("/a", 6)}abc`);
    all.tunnel.last.fails("unprocessed");
    socket.says("def");
    all.tunnel.last.fails("unprocessed");
    expect([all.tunnel.last.body, all.tunnel.last.said]).toEqual(["abcdef", ["END"]]);
    all.tunnel.last.answers("a");
    expect(socket.got).toEndWith("\r\n\r\na");
    expect([all.metrics.streams, all.metrics.streamsOpen]).toEqual([3, 0]);
  });

  test("gets 503 when his body was too large to keep, and 502 when the agent may have looked at it", () => {
    const all = new VisitorSetUp();
    all.agentComes();
    const large = all.visitor();
    large.says(`${post("/a", 200_000)}${"x".repeat(100_000)}`);
    all.tunnel.last.fails("unprocessed");
    expect(large.got).toStartWith("HTTP/1.1 503 ");
    expect(large.got).toContain("\r\nUnderpass-Error: agent-offline\r\n");
    const lost = all.visitor();
    lost.says(get("/b"));
    all.tunnel.last.fails("link-lost");
    expect(lost.got).toStartWith("HTTP/1.1 502 ");
    expect(lost.got).toContain("\r\nUnderpass-Error: link-lost\r\n");
    expect(all.tunnel.streams.length).toBe(2);
  });
});

test("a visitor who reads his last answer slowly keeps his socket as long as it drains; one who goes on sending does not", () => {
  const all = new VisitorSetUp();
  all.agentComes(2);
  const [socket, sender] = [all.visitor(), all.visitor()];
  const [slow, busy] = all.visitors;
  const last = `GET /a HTTP/1.1\r\nHost: blue.localhost\r\nConnection: close\r\n\r\n`;
  socket.says(last);
  all.tunnel.last.answers("hello");
  sender.says(last);
  all.tunnel.last.answers("hello");
  expect([socket.finished, socket.over]).toEqual([true, false]);
  all.clock.advance(70_000);
  socket.handler.drained();
  const { idleMs, lingerMs } = ingressLimits;
  expect(slow?.deadlineMs).toBe(all.clock.now() + idleMs);
  sender.says("more");
  const untilMs = all.clock.now() + lingerMs;
  all.clock.advance(1_000);
  sender.says("and more");
  sender.handler.drained();
  expect(busy?.deadlineMs).toBe(untilMs);
});

test("under a path an answer that names no place goes on as it came; one that does is told its place", () => {
  const all = new VisitorSetUp();
  all.agentComes(2);
  const socket = all.visitor();
  const ask = `GET /~blue/a HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  socket.says(ask);
  all.tunnel.last.answers("hello", ["X-Odd:as it came", "X-Empty:"]);
  expect(socket.got).toBe(
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Odd:as it came\r\nX-Empty:\r\n\r\nhello",
  );
  socket.got = "";
  socket.says(ask);
  all.tunnel.last.answers("", ["Location:/b"]);
  expect(socket.got).toBe("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nLocation: /~blue/b\r\n\r\n");
});
