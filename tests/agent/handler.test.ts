import { describe, expect, test } from "bun:test";
import { type FetchFunction, HandlerOrigin } from "../../agent/origins/handler.ts";
import type { RequestEvent } from "../../agent/screen/events.ts";
import type { Code } from "../../shared/errors.ts";
import { decodeHead, encodeHead } from "../../shared/head.ts";
import { decodeLatin1, encodeLatin1 } from "../../shared/http1/latin1.ts";
import { limits } from "../../shared/mux/limits.ts";
import { Memory } from "../../shared/mux/memory.ts";
import { Session } from "../../shared/mux/session.ts";
import type { SessionHandler } from "../../shared/mux/session-handler.ts";
import type { Stream, StreamHandler } from "../../shared/mux/stream.ts";
import { systemClock } from "../../shared/runtimes/system-clock.ts";

/** What the relay's side of one exchange sees; reads only as much as it is told to. */
class Visitor implements StreamHandler {
  readonly heads: string[] = [];
  body = "";
  bodyBytes = 0;
  ended = false;
  code: Code | undefined;
  /** false: takes no more, so that the window fills. */
  reading = true;
  #held = 0;
  #waiters: { until: () => boolean; resolve: () => void }[] = [];
  stream!: Stream;

  head(fields: Uint8Array): void {
    this.heads.push(decodeLatin1(decodeHead(fields)?.http ?? new Uint8Array()));
    this.#look();
  }
  data(bytes: Uint8Array): void {
    this.bodyBytes += bytes.length;
    if (this.bodyBytes < 100_000) this.body += decodeLatin1(bytes);
    this.#held = this.reading ? 0 : this.#held + bytes.length;
    this.stream.held(this.#held);
    this.#look();
  }
  end(): void {
    this.ended = true;
    this.#look();
  }
  left(): void {}
  reset(code: Code): void {
    this.code = code;
    this.#look();
  }
  writable(): void {
    this.#look();
  }
  read(): void {
    this.reading = true;
    this.#held = 0;
    this.stream.held(0);
  }
  until(met: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push({ until: met, resolve });
      this.#look();
    });
  }
  get over(): Promise<void> {
    return this.until(() => this.ended || this.code !== undefined);
  }
  #look(): void {
    const met = this.#waiters.filter((waiter) => waiter.until());
    this.#waiters = this.#waiters.filter((waiter) => !met.includes(waiter));
    for (const waiter of met) waiter.resolve();
  }
}

/** Two real sessions, whose messages change hands at once; a HandlerOrigin behind one. */
function tunnel(fetch: FetchFunction): {
  visit(head: string): Visitor;
  requests: RequestEvent[];
  errors: unknown[];
  requestDone(): Promise<RequestEvent>;
} {
  const requests: RequestEvent[] = [];
  const errors: unknown[] = [];
  const waiting: ((event: RequestEvent) => void)[] = [];
  const origin = new HandlerOrigin({
    fetch,
    clock: systemClock,
    onRequest(event) {
      requests.push(event);
      waiting.shift()?.(event);
    },
    onError: (error) => void errors.push(error),
  });
  const shape = { window: 131_072, peerWindow: 131_072, streams: 16, peerStreams: 16 };
  const relay = new Session({ ...shape, side: "relay", memory: new Memory(2 ** 26) }, 0);
  const agent = new Session({ ...shape, side: "agent", memory: new Memory(2 ** 26) }, 0);
  const wire = (from: Session, to: Session): SessionHandler => ({
    opened: (stream, fields) => origin.open(stream, fields),
    wake: () =>
      queueMicrotask(() => {
        for (
          let bytes = from.poll(systemClock.now());
          bytes !== undefined;
          bytes = from.poll(systemClock.now())
        ) {
          to.handleMessage(bytes, systemClock.now());
          // No timers here: what is received is acknowledged with the next message or at once.
          const ack = to.poll(systemClock.now() + 1_000);
          if (ack !== undefined) from.handleMessage(ack, systemClock.now());
        }
      }),
    datagram() {},
    doubted() {},
    goaway() {},
    over() {},
  });
  relay.handler = wire(relay, agent);
  agent.handler = wire(agent, relay);
  return {
    requests,
    errors,
    requestDone: () => new Promise((resolve) => waiting.push(resolve)),
    visit(head) {
      const visitor = new Visitor();
      const stream = relay.open(1, encodeHead({ http: encodeLatin1(head) }), visitor);
      if (stream === undefined) throw new Error("not opened");
      visitor.stream = stream;
      return visitor;
    },
  };
}

const get = "GET /a%2Fb//c?d=%20 HTTP/1.1\r\nHost: blue.localhost:8787\r\nX-Two: a\r\nX-Two: b\r\n";
const post = (more: string) => `POST / HTTP/1.1\r\nHost: h\r\n${more}`;

describe("a fetch function as origin", () => {
  test("gets method, URL and fields as they came, and its answer goes back", async () => {
    let seen: Request | undefined;
    const { visit, requestDone } = tunnel((request) => {
      seen = request;
      const headers = new Headers([
        ["Set-Cookie", "a=1"],
        ["Set-Cookie", "b=2"],
        ["X-Own", "v"],
      ]);
      return new Response("hello", { status: 201, statusText: "Made", headers });
    });
    const done = requestDone();
    const visitor = visit(get);
    visitor.stream.end();
    await visitor.over;
    expect(seen?.url).toBe("http://blue.localhost:8787/a%2Fb//c?d=%20");
    expect(seen?.headers.get("x-two")).toBe("a, b");
    expect(seen?.body).toBeNull();
    expect(visitor.heads[0]).toStartWith("HTTP/1.1 201 Made\r\n");
    expect(visitor.heads[0]?.toLowerCase()).toContain("set-cookie: a=1\r\nset-cookie: b=2\r\n");
    expect(visitor.heads[0]?.toLowerCase()).toContain("transfer-encoding: chunked\r\n");
    expect(visitor.body).toBe("hello");
    expect(visitor.code).toBeUndefined();
    expect(await done).toMatchObject({
      method: "GET",
      path: "/a%2Fb//c?d=%20",
      status: 201,
      bytesIn: 0,
      bytesOut: 5,
    });
  });

  test("a target that begins with // does not change the host", async () => {
    let url = "";
    const { visit } = tunnel((request) => {
      url = request.url;
      return new Response(null);
    });
    const visitor = visit("GET //evil.example/x HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\n");
    visitor.stream.end();
    await visitor.over;
    expect(url).toBe("https://h//evil.example/x");
    expect(visitor.heads[0]).toContain("content-length: 0\r\n");
  });

  test.each([
    ["HEAD", () => new Response("not sent", { headers: { "content-length": "8" } }), 200],
    ["GET", () => new Response(null, { status: 204 }), 204],
    ["GET", () => new Response(null, { status: 304 }), 304],
  ] as const)("%s with %p has no body", async (method, answer, status) => {
    const { visit } = tunnel(answer);
    const visitor = visit(`${method} / HTTP/1.1\r\nHost: h\r\n`);
    visitor.stream.end();
    await visitor.over;
    expect(visitor.heads[0]).toStartWith(`HTTP/1.1 ${status} `);
    expect(visitor.heads[0]).not.toContain("transfer-encoding");
    expect(visitor.heads[0]?.includes("content-length: 8")).toBe(method === "HEAD");
    expect(visitor.bodyBytes).toBe(0);
    expect(visitor.ended).toBe(true);
  });

  test("an upload reaches the function as it comes, and an echo goes back as it is made", async () => {
    const { visit } = tunnel((request) => new Response(request.body));
    const visitor = visit(post("Transfer-Encoding: chunked\r\n"));
    visitor.stream.write(encodeLatin1("one "));
    await visitor.until(() => visitor.body === "one ");
    visitor.stream.write(encodeLatin1("two"));
    await visitor.until(() => visitor.body === "one two");
    visitor.stream.end();
    await visitor.over;
    expect(visitor.ended).toBe(true);
  });

  test("a body that nobody reads stops the visitor at the window", async () => {
    const answer = Promise.withResolvers<Response>();
    const started = Promise.withResolvers<void>();
    const { visit } = tunnel((request) => {
      started.resolve();
      return answer.promise.then(async (response) => {
        await request.arrayBuffer();
        return response;
      });
    });
    const total = 4 * limits.initialWindowBytes;
    const visitor = visit(post(`Content-Length: ${total}\r\n`));
    for (let sent = 0; sent < total; sent += 16_384) visitor.stream.write(new Uint8Array(16_384));
    visitor.stream.end();
    await started.promise;
    await Promise.resolve();
    expect(visitor.stream.queued).toBeGreaterThan(total - 2 * limits.initialWindowBytes);
    answer.resolve(new Response("ok"));
    await visitor.over;
    expect(visitor.body).toBe("ok");
    expect(visitor.stream.queued).toBe(0);
  });

  test("a visitor who reads slowly stops the function's stream", async () => {
    let made = 0;
    const chunks = 200;
    const { visit } = tunnel(() => {
      const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
        if (++made > chunks) controller.close();
        else controller.enqueue(new Uint8Array(16_384));
      };
      return new Response(new ReadableStream({ pull }, { highWaterMark: 0 }));
    });
    const visitor = visit(get);
    visitor.reading = false;
    visitor.stream.end();
    await visitor.until(() => visitor.bodyBytes >= limits.initialWindowBytes / 2);
    await new Promise((resolve) => setImmediate(resolve));
    const bound = chunks / 8;
    expect(made).toBeLessThan(bound);
    visitor.read();
    await visitor.over;
    expect(visitor.bodyBytes).toBe(chunks * 16_384);
  });

  test("100 Continue is sent when the function reads, not before", async () => {
    const { visit } = tunnel(async (request) => new Response(await request.text()));
    const visitor = visit(post("Content-Length: 3\r\nExpect: 100-continue\r\n"));
    await visitor.until(() => visitor.heads.length === 1);
    expect(visitor.heads[0]).toStartWith("HTTP/1.1 100 ");
    visitor.stream.write(encodeLatin1("abc"));
    visitor.stream.end();
    await visitor.over;
    expect(visitor.body).toBe("abc");
  });

  test("an answer before the upload is complete tells the relay to keep the rest", async () => {
    const { visit, requestDone } = tunnel(() => new Response("early"));
    const done = requestDone();
    const visitor = visit(post("Content-Length: 1000000\r\n"));
    await visitor.until(() => visitor.code !== undefined);
    expect(visitor.body).toBe("early");
    expect(visitor.ended).toBe(true);
    expect(visitor.code).toBe("no-error");
    expect((await done).code).toBeUndefined();
  });

  test("a visitor who leaves aborts the request's signal, its body and the answer's stream", async () => {
    const aborted = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    const bodyFailed = Promise.withResolvers<void>();
    const { visit, requestDone, errors } = tunnel((request) => {
      request.signal.addEventListener("abort", () => aborted.resolve());
      request.text().catch(() => bodyFailed.resolve());
      const start = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
        controller.enqueue(encodeLatin1("first"));
      };
      return new Response(new ReadableStream({ start, cancel: () => cancelled.resolve() }));
    });
    const done = requestDone();
    const visitor = visit(post("Transfer-Encoding: chunked\r\n"));
    await visitor.until(() => visitor.body === "first");
    visitor.stream.reset("cancelled");
    await Promise.all([aborted.promise, cancelled.promise, bodyFailed.promise]);
    expect(await done).toMatchObject({ status: 200, bytesOut: 5, code: "cancelled" });
    expect(errors).toEqual([]);
  });

  test("a visitor who half-closes aborts the signal, and still gets an answer that comes", async () => {
    const { visit } = tunnel(async (request) => {
      await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
      return new Response("late");
    });
    const visitor = visit(get);
    visitor.stream.end();
    visitor.stream.left();
    await visitor.over;
    expect(visitor.body).toBe("late");
    expect(visitor.code).toBeUndefined();
  });

  test("a function that throws gets the visitor a 500, and the error is told here only", async () => {
    const { visit, errors } = tunnel(() => {
      throw new Error("secret");
    });
    const visitor = visit(get);
    visitor.stream.end();
    await visitor.over;
    expect(visitor.heads[0]).toStartWith("HTTP/1.1 500 ");
    expect(visitor.body).not.toContain("secret");
    expect(errors).toHaveLength(1);
  });

  test.each([
    [
      "breaks in the middle",
      () => {
        let pulls = 0;
        const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
          if (++pulls === 1) controller.enqueue(new Uint8Array(3));
          else controller.error(new Error("broken"));
        };
        return new Response(new ReadableStream({ pull }));
      },
    ],
    [
      "is shorter than announced",
      () => new Response(new Blob(["abc"]).stream(), { headers: { "content-length": "4" } }),
    ],
    [
      "follows a head larger than a tunnel carries",
      () => new Response("x", { headers: { "x-large": "x".repeat(45_000) } }),
    ],
    [
      "is longer than announced",
      () => new Response(new Blob(["abc"]).stream(), { headers: { "content-length": "2" } }),
    ],
  ] as const)("a body that %s is an abort for the visitor, never an end", async (_what, answer) => {
    const { visit, errors } = tunnel(answer);
    const visitor = visit(get);
    visitor.stream.end();
    await visitor.until(() => visitor.code !== undefined);
    expect(visitor.code).toBe("stream-failed");
    expect(visitor.ended).toBe(false);
    expect(errors).toHaveLength(1);
  });

  test.each([
    ["nonsense", ""],
    [get.replace("\r\nX", "\r\nHost: other\r\nX"), ""],
    [post("Content-Length: 2\r\n"), "abc"],
    [post("Content-Length: 4\r\n"), "abc"],
  ])("a request that breaks the rules is reset: %j", async (head, body) => {
    const { visit } = tunnel(async (request) => new Response(await request.text()));
    const visitor = visit(head);
    visitor.stream.write(encodeLatin1(body));
    visitor.stream.end();
    await visitor.until(() => visitor.code !== undefined);
    expect(visitor.code).toBe("head-invalid");
  });

  test("what a Request can't carry is answered 400", async () => {
    const { visit } = tunnel(() => new Response("no"));
    const visitor = visit("GET / HTTP/1.1\r\nHost: [\r\n");
    visitor.stream.end();
    await visitor.over;
    expect(visitor.heads[0]).toStartWith("HTTP/1.1 400 ");
  });
});
